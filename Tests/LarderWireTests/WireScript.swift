import LarderTesting
import LarderWire

/// A connection without a socket: it takes input in pieces, drives a parser as the server
/// does, and writes down what came out, one line of words for each step.
struct WireScript {
    private var parser = TextParser()
    private var request = Request()
    /// The unread bytes, and nothing else.
    private var unread: [UInt8] = []
    /// What is left of a rejected value.
    private var swallowBytes = 0
    /// The request whose value is still on its way, as words.
    private var awaitedStore: (words: String, valueLength: Int, isSilent: Bool)?
    private(set) var isClosed = false
    private(set) var steps: [String] = []

    /// The steps of `input`, cut before each of `cuts`.
    static func steps(_ input: [UInt8], cuts: [Int] = []) -> [String] {
        var script = WireScript()
        var start = 0
        for cut in cuts + [input.count] {
            script.feed(input[start..<cut])
            start = cut
        }
        return script.steps
    }

    static func steps(_ input: String) -> [String] { steps(Array(input.utf8)) }

    mutating func feed(_ bytes: ArraySlice<UInt8>) {
        unread.append(contentsOf: bytes)
        while !isClosed, turn() {}
    }

    /// One step; false when it takes more input to go on.
    private mutating func turn() -> Bool {
        if swallowBytes > 0 {
            let count = min(swallowBytes, unread.count)
            unread.removeFirst(count)
            swallowBytes -= count
            return count > 0
        }
        if awaitedStore != nil { return takeAwaitedValue() }
        return parse()
    }

    /// Calls the parser with a copy of the unread bytes, at another address each time and
    /// with nothing readable behind: a parser that keeps an offset is found out.
    private mutating func parse() -> Bool {
        let indent = 3
        let count = indent + unread.count
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        defer { base.deallocate() }
        base.initialize(repeating: UInt8(ascii: "!"), count: count)
        for (index, byte) in unread.enumerated() { base[indent + index] = byte }
        var cursor = indent
        let step = parser.next(base, cursor: &cursor, end: count, request: &request)
        let words = step == .request || step == .value ? Self.words(for: request, base, step) : ""
        unread.removeFirst(cursor - indent)
        switch step {
        case .needMore:
            return false
        case .close:
            isClosed = true
            steps.append("close")
            return false
        case .reject:
            let rejection = parser.rejection
            swallowBytes = rejection.swallowBytes
            steps.append("reject \(rejection.reply)" + (rejection.isSilent ? " silent" : ""))
        case .value:
            awaitedStore = (words, request.valueLength, request.options.noReply)
        case .request, .retrieval, .sets:
            steps.append(words)
            if request.options.lastOfRetrieval { steps.append("end") }
            isClosed = request.verb == .quit
        }
        return true
    }

    private mutating func takeAwaitedValue() -> Bool {
        guard let awaited = awaitedStore, unread.count >= awaited.valueLength + 2 else { return false }
        awaitedStore = nil
        let value = unread.prefix(awaited.valueLength)
        let terminator = unread.dropFirst(awaited.valueLength).prefix(2)
        if terminator.elementsEqual("\r\n".utf8) {
            steps.append(awaited.words + " value=" + Self.text(value))
        } else {
            steps.append("reject badDataChunk" + (awaited.isSilent ? " silent" : ""))
        }
        unread.removeFirst(awaited.valueLength + 2)
        return true
    }

    // MARK: Words

    private static func words(for request: Request, _ base: UnsafePointer<UInt8>, _ step: ParseStep) -> String {
        func bytes(_ start: Int, _ length: Int) -> String {
            text(UnsafeBufferPointer(start: base + start, count: length))
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
        case .delete, .statistics, .shutdown, .administration, .authenticate:
            words = ["\(request.verb)", key]
        case .version, .quit, .noOperation, .listMechanisms:
            words = ["\(request.verb)"]
        case .metaGet, .metaStore, .metaDelete, .metaArithmetic, .metaDebug:
            words = ["\(request.verb)", key] + metaWords(request)
            if request.meta.flagsLength > 0 {
                words.append("[" + bytes(Int(request.meta.flagsStart), Int(request.meta.flagsLength)) + "]")
            }
        }
        if request.options.noReply { words.append("noReply") }
        if request.verb == .store || request.verb == .metaStore, step == .request {
            words.append("value=" + bytes(request.valueStart, request.valueLength))
        }
        return words.filter { !$0.isEmpty }.joined(separator: " ")
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
        if meta.mode != 0 { words.append("mode=" + text([meta.mode])) }
        if meta.touchIsLast { words.append("touchIsLast") }
        if meta.recacheFollowsTouch { words.append("recacheFollowsTouch") }
        return words
    }

    private static func text(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: Array(bytes), as: UTF8.self)
    }
}
