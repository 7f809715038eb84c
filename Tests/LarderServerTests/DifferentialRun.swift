import LarderTesting

/// What one of two servers answers, with everything that may differ taken out.
private struct Answer: Equatable, CustomStringConvertible {
    /// Lines and values; a cas is replaced by when it was first seen.
    var text: [UInt8]
    /// Times to live that it told: the servers count their seconds from different moments.
    var secondsLeft: [Int] = []
    /// What came, for a server whose answer is known beforehand.
    var expected: [UInt8]?

    static func == (left: Answer, right: Answer) -> Bool {
        left.text == right.text && left.expected == right.expected
            && left.secondsLeft.count == right.secondsLeft.count
            && zip(left.secondsLeft, right.secondsLeft).allSatisfy { abs($0 - $1) <= secondsApartMax }
    }
    private static let secondsApartMax = 2

    var description: String { escaped(text) + " \(secondsLeft)" + (expected.map { ", expected \(escaped($0))" } ?? "") }
}

/// One side of the comparison: a connection and what its server told about itself.
private final class Side {
    let client: SocketClient
    let isNew: Bool
    /// The cas that was last told for each key.
    private(set) var cas: [[UInt8]: [UInt8]] = [:]
    /// In which order each cas was first seen.
    private var ordinals: [[UInt8]: Int] = [:]

    init(_ server: ServerProcess, isNew: Bool) throws {
        client = try SocketClient(server.endpoint)
        self.isNew = isNew
    }

    func answer(to command: GeneratedCommand) throws -> Answer {
        switch command.shape {
        case .silence: return Answer(text: [])
        case .line: return Answer(text: try client.receiveLine())
        case .values: return Answer(text: try values())
        case .meta: return try metaAnswer(command.key)
        case .upToNoOperation:
            var answer = Answer(text: [])
            while true {
                let next = try metaAnswer(command.key)
                answer.text += next.text
                answer.secondsLeft += next.secondsLeft
                // A value may end like that, too.
                if next.text.elementsEqual("MN\r\n".utf8) { return answer }
            }
        case .debugLine:
            let words = try client.receiveLine().split(separator: UInt8(ascii: " "))
            // The time to live of 1.6.18 has its sign turned round; sizes, classes and cas are each server's own.
            return Answer(
                text: Array(words.prefix(2).joined()) + Array(words.filter { $0.starts(with: "fetch".utf8) }.joined()))
        case .fixed(let new, let old):
            let expected = isNew ? new : old
            let bytes = try client.receive(count: expected.count)
            return bytes == expected ? Answer(text: []) : Answer(text: bytes, expected: expected)
        }
    }

    /// One answer of a meta command, and its value.
    private func metaAnswer(_ key: [UInt8]?) throws -> Answer {
        let line = try client.receiveLine()
        var words = line.dropLast(2).split(separator: UInt8(ascii: " ")).map(Array.init)
        var answer = Answer(text: [])
        for index in words.indices.dropFirst() {
            let argument = Array(words[index].dropFirst())
            let number = Int(String(decoding: argument, as: UTF8.self))
            switch words[index].first {
            case UInt8(ascii: "c") where number != nil && number != 0:
                if let key { cas[key] = argument }
                words[index] = Array("c \(ordinal(of: argument))".utf8)
            case UInt8(ascii: "t") where number != nil && number != -1:
                words[index] = Array("t".utf8)
                answer.secondsLeft.append(number ?? 0)
            default: break
            }
        }
        answer.text = Array(words.joined(separator: [UInt8(ascii: " ")])) + line.suffix(2)
        if words.first?.elementsEqual("VA".utf8) ?? false, words.count > 1,
            let length = Int(String(decoding: words[1], as: UTF8.self))
        {
            answer.text += try client.receive(count: length + 2)
        }
        return answer
    }

    /// `VALUE` lines with their data, and what ends them.
    private func values() throws -> [UInt8] {
        var answer: [UInt8] = []
        while true {
            let line = try client.receiveLine()
            var words = line.dropLast(2).split(separator: UInt8(ascii: " ")).map(Array.init)
            guard words.count >= 4, words[0].elementsEqual("VALUE".utf8),
                let length = Int(String(decoding: words[3], as: UTF8.self))
            else { return answer + line }
            if words.count == 5 {
                cas[words[1]] = words[4]
                words[4] = Array("cas \(ordinal(of: words[4]))".utf8)
            }
            answer += words.joined(separator: [UInt8(ascii: " ")])
            answer += try client.receive(count: length + 2)
        }
    }

    private func ordinal(of cas: [UInt8]) -> Int {
        if let known = ordinals[cas] { return known }
        ordinals[cas] = ordinals.count
        return ordinals.count - 1
    }
}

/// Where two servers first answered differently.
struct Divergence: Error, CustomStringConvertible {
    let description: String
}

/// The same random commands to two servers, in batches; their answers must be the same.
final class DifferentialRun {
    private var generator: CommandGenerator
    private var batching: SeededRandom
    private let left: Side
    private let right: Side
    private let label: String
    private var batch: [GeneratedCommand] = []
    /// What was sent last, for a report.
    private var history: [GeneratedCommand] = []
    private var answered = 0
    /// A command that could not join the last batch.
    private var held: GeneratedCommand?

    /// - Parameter label: Says in a report which of several runs this is.
    init(
        _ left: ServerProcess, isNew leftIsNew: Bool, _ right: ServerProcess, isNew rightIsNew: Bool,
        generator: CommandGenerator, seed: UInt64, label: String
    ) throws {
        self.generator = generator
        self.label = label
        batching = SeededRandom(seed: ~seed)
        self.left = try Side(left, isNew: leftIsNew)
        self.right = try Side(right, isNew: rightIsNew)
    }

    /// Sends a batch of commands, at most `limit`, and returns how many.
    ///
    /// `incr` and `decr` never share a batch with an earlier retrieval of the same key: a real
    /// memcached pads a shorter number only while nobody else holds the value, and a reply
    /// that is not sent yet holds it.
    func send(limit: Int) throws -> Int {
        let size = min(limit, Int.random(in: 1...60, using: &batching))
        var keysRead: Set<[UInt8]> = []
        batch = []
        while batch.count < size {
            let command = held ?? generator.next()
            held = command
            if let key = command.keyCounted, keysRead.contains(key) { break }
            held = nil
            keysRead.formUnion(command.keysRead)
            batch.append(command)
        }
        try send(to: left)
        try send(to: right)
        return batch.count
    }

    private func send(to side: Side) throws {
        let bytes = batch.flatMap { $0.bytes(knowing: side.cas) }
        // In two pieces, so that commands are cut anywhere.
        let cut = Int.random(in: 0...bytes.count, using: &batching)
        try side.client.send(Array(bytes[..<cut]))
        try side.client.send(Array(bytes[cut...]))
    }

    /// Reads and compares what both answer to the last batch.
    func compare() throws {
        for command in batch {
            history.append(command)
            if history.count > 12 { history.removeFirst() }
            let first = try answer(of: left, "larder", to: command)
            let second = try answer(of: right, "memcached", to: command)
            guard first == second, first.expected == nil else {
                throw divergence(first.description, second.description)
            }
            answered += 1
        }
    }

    private func answer(of side: Side, _ name: String, to command: GeneratedCommand) throws -> Answer {
        do {
            return try side.answer(to: command)
        } catch {
            throw divergence("\(name): \(error)", "received: \(escaped(side.client.received))")
        }
    }

    private func divergence(_ first: String, _ second: String) -> Divergence {
        let commands = history.map { "    \($0.description)" }.joined(separator: "\n")
        return Divergence(
            description: """
                \(label): the servers differ at command \(answered)
                larder:    \(first)
                memcached: \(second)
                the last commands, in order:
                \(commands)
                """)
    }
}
