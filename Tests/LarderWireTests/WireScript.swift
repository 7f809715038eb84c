import LarderWire

/// A parser of one dialect, and how a script writes down what it parsed.
protocol ScriptedParser {
    /// What stands behind a value.
    static var terminator: [UInt8] { get }
    var rejection: Rejection { get }
    init()
    mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, request: inout Request
    ) -> ParseStep
    /// The request as words, without its value.
    static func words(for request: Request, _ base: UnsafePointer<UInt8>) -> [String]
}

/// A connection without a socket: it takes input in pieces, drives a parser as the server
/// does, and writes down what came out, one line of words for each step.
struct WireScript<Parser: ScriptedParser> {
    private var parser: Parser
    private var request = Request()
    /// The unread bytes, and nothing else.
    private var unread: [UInt8] = []
    /// What is left of a rejected value.
    private var swallowBytes = 0
    /// The request whose value is still on its way, as words.
    private var awaitedStore: (words: String, valueLength: Int, isSilent: Bool)?
    private(set) var isClosed = false
    private(set) var steps: [String] = []

    init(_ parser: Parser = Parser()) { self.parser = parser }

    /// The steps of `input`, cut before each of `cuts`.
    static func steps(_ input: [UInt8], cuts: [Int] = [], by parser: Parser = Parser()) -> [String] {
        var script = WireScript(parser)
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
        unread.removeFirst(cursor - indent)
        switch step {
        case .needMore:
            return false
        case .close:
            isClosed = true
            steps.append("close")
        case .reject:
            swallowBytes = parser.rejection.swallowBytes
            isClosed = parser.rejection.closes
            steps.append(parser.rejection.words)
        case .value:
            awaitedStore = (requestWords(base), request.valueLength, request.options.noReply)
        case .request, .retrieval, .sets:
            steps.append(requestWords(base) + valueWords(base))
            if request.options.lastOfRetrieval { steps.append("end") }
            isClosed = request.verb == .quit
        }
        return true
    }

    private func requestWords(_ base: UnsafePointer<UInt8>) -> String {
        Parser.words(for: request, base).filter { !$0.isEmpty }.joined(separator: " ")
    }

    private func valueWords(_ base: UnsafePointer<UInt8>) -> String {
        switch request.verb {
        case .store, .metaStore, .authenticate:
            " value=" + UnsafeBufferPointer(start: base + request.valueStart, count: request.valueLength).text
        default: ""
        }
    }

    private mutating func takeAwaitedValue() -> Bool {
        let terminator = Parser.terminator
        guard let awaited = awaitedStore, unread.count >= awaited.valueLength + terminator.count else { return false }
        awaitedStore = nil
        if unread.dropFirst(awaited.valueLength).starts(with: terminator) {
            steps.append(awaited.words + " value=" + unread.prefix(awaited.valueLength).text)
        } else {
            steps.append(Rejection(reply: .badDataChunk, isSilent: awaited.isSilent).words)
        }
        unread.removeFirst(awaited.valueLength + terminator.count)
        return true
    }
}

extension Rejection {
    fileprivate var words: String { "reject \(reply)" + (isSilent ? " silent" : "") + (closes ? " closes" : "") }
}

extension Sequence<UInt8> {
    /// The bytes as text.
    var text: String { String(decoding: Array(self), as: UTF8.self) }
}
