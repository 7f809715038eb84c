#if Hummingbird
    import Hummingbird
    import LarderClient

    extension EncodedValue {
        /// The value, if it was stored as one of this type. Elsewhere a number may be read as text, and anything as bytes; of
        /// a persist driver it is expected to say that it is something else.
        /// - Throws: `PersistError.invalidConversion`.
        func persisted<Object: Codable & Sendable>(as type: Object.Type) throws -> Object {
            guard isEncoded(as: type) else { throw PersistError.invalidConversion }
            do {
                return try decoded(as: type)
            } catch  where error.code == .cannotDecode {
                throw PersistError.invalidConversion
            }
        }
    }
#endif
