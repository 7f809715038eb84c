import Glibc
import LarderWire

/// `--key-route`: on the main port the key `NAME/KEY` is `KEY` in the cache that is called `NAME`. What
/// names no cache is a key of the main port's own, the slash and all.
extension Connection {
    /// Finds the cache of a request and works on it; takes its name off the key.
    mutating func route(_ base: UnsafePointer<UInt8>, _ context: inout WorkerContext) {
        routedCacheNumber = cacheNumber
        routePrefixLength = 0
        // A base64 key is looked at when it is decoded.
        if request.verb.hasKey, !request.meta.flags.has(UInt8(ascii: "b")) {
            // SAFETY: the parser's offsets lie inside the input buffer.
            let prefixLength = route(key: base + request.keyStart, request.keyLength, context)
            routePrefixLength = prefixLength
            request.keyStart += prefixLength
            request.keyLength -= prefixLength
        }
        context.select(routedCacheNumber)
    }

    /// The same for a key that is asked for.
    mutating func route(_ base: UnsafePointer<UInt8>, _ key: RetrievalKey, _ context: inout WorkerContext) {
        routedCacheNumber = cacheNumber
        routePrefixLength = route(key: base + key.start, key.length, context)
        context.select(routedCacheNumber)
    }

    /// The same for a key that was sent in base64, and is to be answered so.
    mutating func route(
        decodedKey key: UnsafePointer<UInt8>, _ length: Int, _ context: inout WorkerContext
    ) -> Int {
        let prefixLength = route(key: key, length, context)
        context.select(routedCacheNumber)
        return prefixLength
    }

    /// Finds the cache that a key names, and how many bytes that takes.
    private mutating func route(
        key: UnsafePointer<UInt8>, _ length: Int, _ context: borrowing WorkerContext
    ) -> Int {
        guard cacheNumber == 0, let slash = memchr(key, Int32(UInt8(ascii: "/")), length) else { return 0 }
        let nameLength = UnsafeRawPointer(slash) - UnsafeRawPointer(key)
        let name = UnsafeRawBufferPointer(start: key, count: nameLength)
        guard length > nameLength + 1, let number = context.state.cacheNumber(named: name) else { return 0 }
        routedCacheNumber = number
        return nameLength + 1
    }
}

extension Verb {
    /// Whether the request is about one item.
    fileprivate var hasKey: Bool {
        switch self {
        case .store, .delete, .arithmetic, .touch: true
        case .metaGet, .metaStore, .metaDelete, .metaArithmetic, .metaDebug: true
        default: false
        }
    }
}
