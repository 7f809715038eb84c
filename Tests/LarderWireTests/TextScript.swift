import LarderTesting
import LarderWire

/// What a connection without a socket makes of lines.
typealias TextScript = WireScript<TextParser>

extension TextParser: ScriptedParser {
    static var terminator: [UInt8] { Array("\r\n".utf8) }

    static func words(for request: Request, _ base: UnsafePointer<UInt8>) -> [String] {
        func bytes(_ start: Int, _ length: Int) -> String {
            UnsafeBufferPointer(start: base + start, count: length).text
        }
        // `.flushAll` and others have no key: its length is 0 then.
        let key = bytes(request.keyStart, request.keyLength)
        var words: [String]
        switch request.verb {
        case .retrieve:
            words = ["key", key]
            if request.options.firstOfRetrieval { words.append("first") }
            if request.options.wantsCas { words.append("cas") }
            if request.options.touches { words.append("exptime=\(request.exptime)") }
        case .store:
            words = [
                "\(request.storeMode)", key, "flags=\(request.clientFlags)", "exptime=\(request.exptime)",
            ]
            if request.storeMode == .compareAndSwap { words.append("cas=\(request.cas)") }
        case .arithmetic:
            words = [request.options.decrements ? "decr" : "incr", key, "\(request.number)"]
        case .touch:
            words = ["touch", key, "\(request.exptime)"]
        case .flushAll:
            words = ["flushAll"]
            if request.options.hasExptime { words.append("\(request.exptime)") }
        case .verbosity:
            words = ["verbosity", "\(request.exptime)"]
        case .delete, .statistics, .shutdown, .administration, .authenticate, .fetch, .contains:
            words = ["\(request.verb)", key]
        case .version, .quit, .noOperation, .listMechanisms, .dump:
            words = ["\(request.verb)"]
        case .metaGet, .metaStore, .metaDelete, .metaArithmetic, .metaDebug:
            words = ["\(request.verb)", key] + metaWords(request)
            if request.meta.flagsLength > 0 {
                words.append("[" + bytes(Int(request.meta.flagsStart), Int(request.meta.flagsLength)) + "]")
            }
        }
        if request.options.noReply { words.append("noReply") }
        return words
    }

    /// What the flags said, as far as it is not nothing.
    private static func metaWords(_ request: Request) -> [String] {
        let meta = request.meta
        let numbers: [(String, UInt64)] = [
            ("exptime", UInt64(bitPattern: request.exptime)), ("cas", request.cas),
            ("flags", UInt64(request.clientFlags)),
            ("delta", request.verb == .metaArithmetic ? request.number : 0), ("initial", request.initialValue),
            ("vivify", UInt64(bitPattern: Int64(meta.vivifyExptime))),
            ("recache", UInt64(bitPattern: Int64(meta.recacheExptime))),
            ("newCas", meta.newCas), ("decoded", UInt64(meta.decodedKeyLength)),
        ]
        var words = numbers.filter { $0.1 != 0 }.map { "\($0.0)=\(Int64(bitPattern: $0.1))" }
        if meta.mode != 0 { words.append("mode=" + [meta.mode].text) }
        if meta.touchIsLast { words.append("touchIsLast") }
        if meta.recacheFollowsTouch { words.append("recacheFollowsTouch") }
        return words
    }
}
