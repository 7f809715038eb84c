import Glibc
import LarderTesting
import Testing

@testable import LarderServer
@testable import LarderStore

/// How many requests are taken from the input together changes nothing but the time that they take: the answers are the
/// same bytes, and so are the counters, the items, their marks and the order of their use.
@Suite struct BatchSizeTests {
    /// 1: each request is taken alone, by the parser's general way.
    private static let sizes = [1, 2, 3, 7, 16]

    @Test(arguments: ConversationFiles.all)
    func conversations(conversation: Conversation) throws {
        for size in Self.sizes { try InProcessTalk.hold(conversation, batchMax: size) }
    }

    private static let kinds = [
        ["-m", "8"], ["-m", "8", "-C"], ["-m", "8", "-R", "3"], ["-m", "8", "-I", "100k"],
        ["--cache", "name=default,items=40,blocksize=1000,blocks=400,purge_lru=1"],
    ]

    /// Some 70 commands each. `make soak` sends a million commands and more.
    private static let chunks = getenv("LARDER_BATCH_CHUNKS").flatMap { Int(String(cString: $0)) } ?? 100

    @Test(arguments: kinds, [RequestStream.Dialect.text, .meta, .binary])
    func randomRequests(options: [String], dialect: RequestStream.Dialect) throws {
        let seed = UInt64.random(in: 1...UInt64(UInt32.max))
        print("batch sizes, \(options), \(dialect): seed \(seed)")
        try Self.compare(options, dialect, seed: seed)
    }

    /// Lets the same stream of requests arrive in the same chunks at one server of each size.
    private static func compare(
        _ options: [String], _ dialect: RequestStream.Dialect, seed: UInt64
    ) throws {
        guard case .serve(var settings, _) = parseCommandLine(["-t", "1"] + options) else {
            Issue.record("not options: \(options)")
            return
        }
        settings.hashSeed = seed
        var talks: [BatchedTalk] = []
        for size in sizes { talks.append(try BatchedTalk(settings, batchMax: size)) }
        var stream = RequestStream(dialect, seed: seed)
        for chunk in 0..<chunks {
            let bytes = stream.chunk()
            let milliseconds = stream.pause()
            let expected = talks[0].answer(to: bytes, after: milliseconds)
            for place in 1..<talks.count where talks[place].answer(to: bytes, after: milliseconds) != expected {
                let size = talks[place].server.batchMax
                Issue.record("seed \(seed), chunk \(chunk): another answer in batches of \(size)")
                return
            }
        }
        let expected = try talks[0].state()
        for talk in talks.dropFirst() {
            let state = try talk.state()
            let isSame = state == expected
            #expect(isSame, "seed \(seed), batches of \(talk.server.batchMax): \(difference(state, expected))")
            #expect(talk.server.checkInvariants() == [])
        }
    }

    private static func difference(_ one: [String], _ other: [String]) -> String {
        zip(one, other).first { $0 != $1 }.map { "\($0) instead of \($1)" } ?? "\(one.count) of \(other.count)"
    }
}

/// A client of one server; a new one once it is let go.
private struct BatchedTalk {
    let server: InProcessServer
    private var connection: InProcessConnection

    init(_ settings: Settings, batchMax: Int) throws {
        server = try InProcessServer(settings: settings, startMilliseconds: 1_700_000_000_000)
        server.batchMax = batchMax
        connection = InProcessConnection(server)
    }

    mutating func answer(to bytes: [UInt8], after milliseconds: Int64) -> [UInt8] {
        server.advanceClock(milliseconds: milliseconds)
        if connection.isClosed { connection = InProcessConnection(server) }
        return connection.receive(bytes)
    }

    /// The counters, and every item with its marks.
    func state() throws -> [String] {
        var lines: [String] = []
        for cache in server.state.caches {
            for counter in Counter.allCases { lines.append("\(counter) \(cache.total(counter))") }
            lines.append("\(cache.store.statistics.counters)")
            let session = try cache.store.makeSession()
            session.begin(now: server.nowMilliseconds)
            lines += items(session).sorted()
            session.end()
        }
        return lines
    }

    private func items(_ session: borrowing Session) -> [String] {
        var lines: [String] = []
        withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { room in
            guard let items = room.baseAddress else { return }
            var walk = ItemWalk()
            while !walk.isComplete {
                for place in 0..<session.nextItems(&walk, into: items) {
                    let item = items[place]
                    let key = UnsafeRawBufferPointer(start: item.key, count: item.keyLength)
                    let value = UnsafeRawBufferPointer(start: item.value, count: item.valueLength)
                    let sum = value.reduce(0) { $0 &* 31 &+ Int($1) }
                    let stored = "\(Array(key)) \(value.count) bytes, sum \(sum) flags \(item.clientFlags)"
                    let marks = "state \(item.state) accessed \(item.accessed)"
                    let versions = "cas \(session.cas(of: item)) write \(session.version(of: item))"
                    lines.append("\(stored) \(marks) expiry \(session.expiry(of: item)) \(versions)")
                }
            }
        }
        return lines
    }
}

/// Requests such as clients pipeline, and any others between them.
struct RequestStream {
    enum Dialect { case text, meta, binary }

    private let dialect: Dialect
    private var random: SeededRandom
    private var commands: CommandGenerator
    private var packets: BinaryCommandGenerator

    init(_ dialect: Dialect, seed: UInt64) {
        self.dialect = dialect
        random = SeededRandom(seed: seed)
        commands = CommandGenerator(seed: seed)
        packets = BinaryCommandGenerator(seed: seed)
    }

    /// Some requests, of which the last may lack its end, which then begins the next chunk.
    mutating func chunk() -> [UInt8] {
        (0..<random.number(1...12)).flatMap { _ in run() }
    }

    /// Milliseconds until the next chunk.
    mutating func pause() -> Int64 { random.once(in: 3) ? Int64(random.number(1...1500)) : 0 }

    private mutating func run() -> [UInt8] {
        guard random.once(in: 2) else {
            return dialect == .binary
                ? packets.next().bytes(opaque: 7, knowing: [:]) : commands.next().bytes(knowing: [:])
        }
        let kind = random.number(0...5)
        return (0..<random.number(1...40)).flatMap { _ in request(kind) }
    }

    private mutating func request(_ kind: Int) -> [UInt8] {
        switch dialect {
        case .text: text(kind)
        case .meta: meta(kind)
        case .binary: packet(kind)
        }
    }

    /// Keys of the generators, and others.
    private mutating func key() -> String { "k\(random.once(in: 3) ? random.number(1...400) : random.number(1...30))" }

    private mutating func value() -> String {
        let lengths = [0...20, 0...20, 0...20, 90...4_200, 4_000...9_000, 20_000...90_000]
        let count = random.number(lengths[random.once(in: 4) ? random.number(0...5) : 0])
        return String(repeating: "v", count: count)
    }

    private mutating func exptime() -> Int { random.once(in: 3) ? random.number(1...3) : 0 }

    private mutating func text(_ kind: Int) -> [UInt8] {
        let key = key()
        switch kind {
        case 0: return Array("get \(key)\r\n".utf8)
        case 1:
            let name = random.pick(["get", "get", "gets", "gat 2", "gats 0"])
            let keys = (0..<random.number(1...30)).map { _ in self.key() }
            return Array("\(name) \(keys.joined(separator: " "))\r\n".utf8)
        case 2...3: return meta(kind)
        default:
            let value = value()
            let noReply = random.once(in: 5) ? " noreply" : ""
            let flags = random.once(in: 3) ? random.number(0...70_000) : 0
            return Array("set \(key) \(flags) \(exptime()) \(value.utf8.count)\(noReply)\r\n\(value)\r\n".utf8)
        }
    }

    private mutating func meta(_ kind: Int) -> [UInt8] {
        let key = key()
        switch kind {
        case 0...2:
            let flags = [
                "v", "v", "k v", "v q", "v k f s c", "v Oab", "v O\(random.number(1...9))", "s", "v h l t", "v T2",
            ]
            return Array("mg \(key) \(random.pick(flags))\r\n".utf8)
        case 3:
            let command = random.pick([
                "md \(key) I\r\n", "mg \(key) v N2\r\n", "mg \(key) v R30\r\n", "mg \(key) v\r\n",
            ])
            return Array(command.utf8)
        default:
            let value = value()
            let flags = random.pick(["", " q", " F7 c", " T\(random.number(1...3))", " I", " MA", " ME"])
            return Array("ms \(key) \(value.utf8.count)\(flags)\r\n\(value)\r\n".utf8)
        }
    }

    private mutating func packet(_ kind: Int) -> [UInt8] {
        let key = Array(key().utf8)
        var packet = GeneratedPacket.noOperation
        packet.key = key
        switch kind {
        case 0...1: packet.opcode = random.pick([0x00, 0x09, 0x0c, 0x0d])
        case 2: packet.opcode = random.pick([0x09, 0x0d, 0x0a])
        case 3:
            packet.opcode = random.pick([0x1c, 0x1d, 0x1e, 0x23, 0x24])
            packet.extras = GeneratedPacket.bigEndian(UInt32(exptime()))
        default:
            packet.opcode = random.pick([0x01, 0x11])
            packet.value = Array(value().utf8)
            packet.extras =
                GeneratedPacket.bigEndian(UInt32(random.number(0...9))) + GeneratedPacket.bigEndian(UInt32(exptime()))
        }
        if packet.opcode == 0x0a { packet.key = [] }
        return packet.bytes(opaque: UInt32(random.number(0...1_000_000)), knowing: [:])
    }
}
