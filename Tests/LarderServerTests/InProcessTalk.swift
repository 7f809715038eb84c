import Glibc
import LarderServer
import LarderTesting

/// A conversation with an `InProcessServer`, whose input may be cut where the test likes.
struct InProcessTalk {
    /// How the input reaches the server.
    private enum Cut {
        /// Each segment in one piece.
        case nowhere
        /// One segment in two pieces.
        case at(segment: Int, offset: Int)
        /// One byte at a time.
        case everywhere

        var description: String {
            switch self {
            case .nowhere: "in the test, not cut"
            case .at(let segment, let offset): "in the test, piece \(segment + 1) cut at byte \(offset)"
            case .everywhere: "in the test, byte by byte"
            }
        }
    }

    /// Inputs up to this size are cut at every byte.
    private static let exhaustiveSizeMax = 4000

    private let conversation: Conversation
    private let cut: Cut
    private let server: InProcessServer
    private var connections: [Int: InProcessConnection] = [:]
    private var bindings: ConversationText.Bindings = [:]
    private var advancedMilliseconds = 0
    /// What was sent for each segment.
    private var inputs: [[UInt8]] = []

    private init(_ conversation: Conversation, _ cut: Cut, batchMax: Int? = nil) throws {
        self.conversation = conversation
        self.cut = cut
        guard case .serve(let settings, _) = parseCommandLine(conversation.options) else {
            throw ConversationFailure(
                conversation, line: conversation.line, expected: "options that a server starts with",
                actual: Array("\(conversation.options)".utf8), context: cut.description)
        }
        server = try InProcessServer(settings: settings)
        if let batchMax { server.batchMax = batchMax }
    }

    /// Holds `conversation` once for every way of cutting its input.
    static func holdAtEverySplit(_ conversation: Conversation) throws {
        let inputs = try hold(conversation, .nowhere)
        let size = inputs.reduce(0) { $0 + $1.count }
        if size <= exhaustiveSizeMax { _ = try hold(conversation, .everywhere) }
        for (segment, input) in inputs.enumerated() {
            for offset in offsets(in: input, isExhaustive: size <= exhaustiveSizeMax) {
                _ = try hold(conversation, .at(segment: segment, offset: offset))
            }
        }
    }

    /// Where to cut: everywhere, or around the line ends and at a seeded sample of places.
    private static func offsets(in input: [UInt8], isExhaustive: Bool) -> [Int] {
        guard input.count > 1 else { return [] }
        if isExhaustive { return Array(1..<input.count) }
        // The larger the input, the fewer the cuts: each costs as much as the whole.
        let count = max(4, min(60, 4_000_000 / input.count))
        var random = SeededRandom(seed: UInt64(input.count))
        let lineEnds = input.indices.filter { input[$0] == UInt8(ascii: "\n") }.prefix(count)
        let around = lineEnds.flatMap { [$0 - 1, $0, $0 + 1] }
        let sample = (0..<count).map { _ in Int.random(in: 1..<input.count, using: &random) }
        return Set(around + sample).filter { $0 > 0 && $0 < input.count }.sorted()
    }

    /// Holds `conversation` with requests taken from the input so many at a time.
    static func hold(_ conversation: Conversation, batchMax: Int) throws {
        var talk = try InProcessTalk(conversation, .nowhere, batchMax: batchMax)
        for segment in conversation.segments { try talk.hold(segment) }
        try talk.checkStore()
    }

    /// Whatever was said, the store must be in order.
    private func checkStore() throws {
        let faults = server.checkInvariants()
        guard !faults.isEmpty else { return }
        throw ConversationFailure(
            conversation, line: conversation.line, expected: "a store in order",
            actual: Array(faults.joined(separator: "; ").utf8), context: cut.description)
    }

    /// Holds the conversation and returns what was sent for each segment.
    private static func hold(_ conversation: Conversation, _ cut: Cut) throws -> [[UInt8]] {
        var talk = try InProcessTalk(conversation, cut)
        for segment in conversation.segments { try talk.hold(segment) }
        // Once for each conversation: looking through the whole store takes longer than talking.
        if case .everywhere = cut { try talk.checkStore() }
        return talk.inputs
    }

    private mutating func hold(_ segment: ConversationSegment) throws {
        server.advanceClock(milliseconds: Int64(segment.advanceMilliseconds))
        advancedMilliseconds += segment.advanceMilliseconds
        let connection = connections[segment.connection] ?? InProcessConnection(server)
        connections[segment.connection] = connection
        let input = segment.input.flatMap { $0.bytes(bindings: bindings, unixTime: unixTime) }
        let output = send(input, to: connection)
        inputs.append(input)
        try check(output, segment, isClosed: connection.isClosed)
    }

    private func send(_ input: [UInt8], to connection: InProcessConnection) -> [UInt8] {
        switch cut {
        case .at(let segment, let offset) where segment == inputs.count:
            return connection.receive(Array(input[..<offset])) + connection.receive(Array(input[offset...]))
        case .everywhere where !input.isEmpty:
            return input.flatMap { connection.receive([$0]) }
        case .nowhere, .at, .everywhere:
            return connection.receive(input)
        }
    }

    private mutating func check(_ output: [UInt8], _ segment: ConversationSegment, isClosed: Bool) throws {
        var position = 0
        var mustBeClosed = false
        for expectation in segment.expectations {
            switch expectation.answer {
            case .closes:
                mustBeClosed = true
                guard isClosed, position == output.count else {
                    let rest = Array(output[position...]) + Array((isClosed ? "" : " [open]").utf8)
                    throw failure(expectation.line, "the server closes the connection", rest)
                }
            case .text(let text):
                let clock = ConversationText.Clock(unixTime: unixTime)
                let match = text.match(output, from: position, bindings: &bindings, clock: clock)
                guard case .matched(let end) = match else {
                    let rest = Array(output[position...]) + Array((isClosed ? " [closed]" : "").utf8)
                    throw failure(expectation.line, "\(text)", rest)
                }
                position = end
            }
        }
        guard position == output.count else {
            throw failure(
                segment.expectations.last?.line ?? conversation.line, "nothing more",
                Array(output[position...]))
        }
        guard isClosed == mustBeClosed else {
            throw failure(conversation.line, "an open connection", Array("[closed]".utf8))
        }
    }

    private func failure(_ line: Int, _ expected: String, _ actual: [UInt8]) -> ConversationFailure {
        ConversationFailure(
            conversation, line: line, expected: expected, actual: actual, context: cut.description)
    }

    /// Of the server's clock, which began at the real time.
    private var unixTime: Int64 { Int64(time(nil)) + Int64(advancedMilliseconds / 1000) }
}
