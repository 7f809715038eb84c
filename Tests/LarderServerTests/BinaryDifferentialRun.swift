import LarderTesting

/// One side of the comparison: a connection, and the cas values that its server told.
private final class BinarySide {
    private let server: ServerProcess
    private(set) var client: SocketClient
    /// The cas that was last told for each key.
    private(set) var cas: [[UInt8]: UInt64] = [:]
    /// In which order each cas was first seen.
    private var ordinals: [UInt64: Int] = [:]

    init(_ server: ServerProcess) throws {
        self.server = server
        client = try SocketClient(server.endpoint)
    }

    func reconnect() throws { client = try SocketClient(server.endpoint) }

    /// The next answer; nil at the end of the connection.
    private func packet() throws -> [UInt8]? {
        while client.received.count < 24 {
            guard try client.receiveMore() else { return nil }
        }
        let length = client.received[8..<12].reduce(0) { $0 << 8 | Int($1) }
        return try client.receive(count: 24 + length)
    }

    /// The answers to a batch, by the number of the packet that each is for. The cas is replaced by when it
    /// was first seen.
    func answers(to batch: [GeneratedPacket], end: UInt32) throws -> [UInt32: [[UInt8]]] {
        var answers: [UInt32: [[UInt8]]] = [:]
        while var answer = try packet() {
            let opaque = answer[12..<16].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            if opaque == end { return answers }
            let number = answer[16..<24].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            if number != 0 {
                if Int(opaque) < batch.count { cas[batch[Int(opaque)].key] = number }
                answer.replaceSubrange(16..<24, with: GeneratedPacket.bigEndian(UInt64(ordinal(of: number))))
            }
            answers[opaque, default: []].append(answer)
        }
        guard batch.last?.isFatal == true else { throw Divergence(description: "the connection ended") }
        return answers
    }

    private func ordinal(of cas: UInt64) -> Int {
        if let known = ordinals[cas] { return known }
        ordinals[cas] = ordinals.count + 1
        return ordinals.count
    }
}

/// The same random packets to two servers, in batches; their answers must be the same.
final class BinaryDifferentialRun {
    /// The opaque of the `noop` that ends a batch.
    private static let end: UInt32 = 0xffff_fffe
    private var generator: BinaryCommandGenerator
    private var batching: SeededRandom
    private let left: BinarySide
    private let right: BinarySide
    private let label: String
    private var batch: [GeneratedPacket] = []
    private var history: [GeneratedPacket] = []
    private var answered = 0
    /// A packet that could not join the last batch.
    private var held: GeneratedPacket?

    init(
        _ left: ServerProcess, _ right: ServerProcess, generator: BinaryCommandGenerator, seed: UInt64, label: String
    ) throws {
        self.generator = generator
        self.label = label
        batching = SeededRandom(seed: ~seed)
        self.left = try BinarySide(left)
        self.right = try BinarySide(right)
    }

    /// Sends a batch of packets, at most `limit`, and returns how many. As in `DifferentialRun`, a count never
    /// shares a batch with an earlier look at the same key.
    func send(limit: Int) throws -> Int {
        let size = min(limit, Int.random(in: 1...60, using: &batching))
        var keysRead: Set<[UInt8]> = []
        batch = []
        while batch.count < size, batch.last?.isFatal != true {
            let packet = held ?? generator.next()
            held = packet
            if packet.counts, keysRead.contains(packet.key) { break }
            held = nil
            if packet.reads { keysRead.insert(packet.key) }
            batch.append(packet)
        }
        try send(to: left)
        try send(to: right)
        return batch.count
    }

    private func send(to side: BinarySide) throws {
        var bytes: [UInt8] = []
        for (number, packet) in batch.enumerated() {
            bytes += packet.bytes(opaque: UInt32(truncatingIfNeeded: number), knowing: side.cas)
        }
        if batch.last?.isFatal != true {
            bytes += GeneratedPacket.noOperation.bytes(opaque: Self.end, knowing: [:])
        }
        // In two pieces, so that packets are cut anywhere.
        let cut = Int.random(in: 0...bytes.count, using: &batching)
        try side.client.send(Array(bytes[..<cut]))
        try side.client.send(Array(bytes[cut...]))
    }

    /// Reads and compares what both answer to the last batch.
    func compare() throws {
        let first = try answers(of: left, "larder")
        let second = try answers(of: right, "memcached")
        for (number, packet) in batch.enumerated() {
            history.append(packet)
            if history.count > 12 { history.removeFirst() }
            let opaque = UInt32(truncatingIfNeeded: number)
            guard first[opaque] == second[opaque] else {
                throw divergence(text(first[opaque]), text(second[opaque]))
            }
            answered += 1
        }
        if batch.last?.isFatal == true {
            try left.reconnect()
            try right.reconnect()
        }
    }

    private func answers(of side: BinarySide, _ name: String) throws -> [UInt32: [[UInt8]]] {
        do {
            return try side.answers(to: batch, end: Self.end)
        } catch {
            history += batch
            throw divergence("\(name): \(error)", "received: \(escaped(side.client.received))")
        }
    }

    private func text(_ answers: [[UInt8]]?) -> String {
        answers.map { $0.map { escaped($0) }.joined(separator: " then ") } ?? "nothing"
    }

    private func divergence(_ first: String, _ second: String) -> Divergence {
        let packets = history.suffix(60).map { "    \($0.description)" }.joined(separator: "\n")
        return Divergence(
            description: """
                \(label): the servers differ at packet \(answered)
                larder:    \(first)
                memcached: \(second)
                the last packets, in order:
                \(packets)
                """)
    }
}
