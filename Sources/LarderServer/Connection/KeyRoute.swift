import Glibc
import LarderWire

/// `--key-route`: on the main port the key `NAME/KEY` is `KEY` in the cache that is called `NAME`. What
/// names no cache is a key of the main port's own, the slash and all.
extension Connection {
    /// Finds the cache of a request and works on it; takes its name off the key.
    mutating func route(_ base: UnsafePointer<UInt8>, _ context: inout WorkerContext) {
        routedCacheNumber = cacheNumber
        routePrefixLength = 0
        if cacheNumber == 0, request.verb.hasKey {
            // SAFETY: the parser's offsets lie inside the input buffer.
            let key = UnsafeRawPointer(base + request.keyStart)
            if let slash = memchr(key, Int32(UInt8(ascii: "/")), request.keyLength) {
                let nameLength = UnsafeRawPointer(slash) - key
                let name = UnsafeRawBufferPointer(start: key, count: nameLength)
                if request.keyLength > nameLength + 1, let number = context.state.cacheNumber(named: name) {
                    routedCacheNumber = number
                    routePrefixLength = nameLength + 1
                    request.keyStart += routePrefixLength
                    request.keyLength -= routePrefixLength
                }
            }
        }
        context.select(routedCacheNumber)
    }
}

extension Verb {
    /// Whether the request is about one item.
    fileprivate var hasKey: Bool {
        switch self {
        case .retrieve, .store, .delete, .arithmetic, .touch: true
        default: false
        }
    }
}
