import Glibc
import LarderWire

/// SASL. With a file of users, PLAIN is the only mechanism: a user and a password, in the first step or in the second.
/// Without such a file, the SASL library has the users and the mechanisms.
extension Execute {
    private static let mechanism: StaticString = "PLAIN"

    /// As with memcached, whoever asks for the mechanisms begins anew.
    static func listMechanisms(_ connection: inout Connection, _ context: inout WorkerContext) {
        connection.binaryParser.isAuthenticated = false
        if let sasl = context.state.access.sasl {
            return sasl.mechanisms.withUnsafeBytes { names in
                connection.writePacket(key: UnsafeRawBufferPointer(start: nil, count: 0), value: names, &context)
            }
        }
        connection.isAuthenticating = false
        connection.writeText(mechanism, &context)
    }

    static func authenticate(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ name: UnsafePointer<UInt8>, _ message: UnsafePointer<UInt8>
    ) {
        connection.binaryParser.isAuthenticated = false
        let bytes = UnsafeRawBufferPointer(start: message, count: request.valueLength)
        if let sasl = context.state.access.sasl {
            let name = UnsafeRawBufferPointer(start: name, count: request.keyLength)
            return connection.ask(
                sasl, mechanism: request.options.continues ? nil : Array(name), message: Array(bytes), &context)
        }
        // The name counts in the first step only.
        let isPossible =
            request.options.continues ? connection.isAuthenticating : isMechanism(name, request.keyLength)
        connection.isAuthenticating = false
        if isPossible, request.valueLength == 0, !request.options.continues {
            connection.isAuthenticating = true
            return connection.writeContinuation([], &context)
        }
        let succeeds = isPossible && context.state.access.authenticator?.acceptsPlain(bytes) ?? false
        connection.holdLogin(succeeds: succeeds, &context)
    }

    private static func isMechanism(_ name: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        // SAFETY: as many bytes of the name are compared as both have.
        length == mechanism.utf8CodeUnitCount
            && strncasecmp(
                UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self),
                UnsafeRawPointer(mechanism.utf8Start).assumingMemoryBound(to: CChar.self), length) == 0
    }
}
