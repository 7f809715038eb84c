import LarderServer
import LarderTesting
import Testing

/// Keys up to `keysize` over the uwsgi protocol.
extension UwsgiTests {
    private static func key(_ length: Int) -> [UInt8] {
        (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 11 &+ $0 >> 8) }
    }

    private static func packet(_ modifier: UInt8, _ body: [UInt8], _ value: [UInt8] = []) -> [UInt8] {
        [111, UInt8(truncatingIfNeeded: body.count), UInt8(truncatingIfNeeded: body.count >> 8), modifier] + body
            + value
    }

    private static func string(_ bytes: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: bytes.count), UInt8(truncatingIfNeeded: bytes.count >> 8)] + bytes
    }

    private static func dictionary(_ command: String, _ key: [UInt8], _ value: String = "", of cache: String = "big")
        -> [UInt8]
    {
        var fields: [(String, [UInt8])] = [("cmd", Array(command.utf8)), ("key", key)]
        if !value.isEmpty { fields.append(("size", Array("\(value.utf8.count)".utf8))) }
        fields.append(("cache", Array(cache.utf8)))
        let body = fields.flatMap { string(Array($0.0.utf8)) + string($0.1) }
        return packet(17, body, Array(value.utf8))
    }

    private static func found(_ value: String) -> [UInt8] {
        let fields = [("status", "ok"), ("size", "\(value.utf8.count)")]
        return packet(17, fields.flatMap { string(Array($0.0.utf8)) + string(Array($0.1.utf8)) }, Array(value.utf8))
    }

    /// Each command with a key of `length` bytes.
    private func commands(_ length: Int, of cache: String = "big") -> [Exchange] {
        let key = Self.key(length)
        func ask(_ command: String, _ value: String = "", _ answer: [UInt8]) -> Exchange {
            Exchange(Self.dictionary(command, key, value, of: cache), answer)
        }
        return [
            ask("get", "", bytes(Self.notFound)), ask("set", "HELLO", bytes(Self.ok)),
            ask("set", "again", bytes(Self.error)), ask("exists", "", bytes(Self.ok)),
            ask("get", "", Self.found("HELLO")), ask("update", "hello, all", bytes(Self.ok)),
            ask("get", "", Self.found("hello, all")), ask("del", "", bytes(Self.ok)),
            ask("del", "", bytes(Self.notFound)), ask("get", "", bytes(Self.notFound)),
        ]
    }

    @Test func keysOfTheDefaultSize() throws { try hold(commands(2048)) }

    @Test(arguments: [250, 251, 255, 256, 257])
    func keysAroundALengthOfOneByte(length: Int) throws { try hold(commands(length)) }

    /// The body of a packet may be longer than uWSGI's own buffer if longer keys are served.
    @Test(arguments: [4000, 65_000])
    func keysOfAGivenSize(length: Int) throws {
        let cache = "name=big,items=9,keysize=\(length)"
        try hold(commands(length), cutEvery: 997, options: ["--cache", cache, "--cache", "name=other,items=9"])
    }

    @Test func oneByteMoreIsRefused() throws {
        let error = bytes(Self.error)
        func refused(_ length: Int, of cache: String = "big") -> [Exchange] {
            [("get", ""), ("exists", ""), ("set", "v"), ("update", "v"), ("del", "")].map { command, value in
                Exchange(Self.dictionary(command, Self.key(length), value, of: cache), error)
            }
        }
        try hold(refused(2049), cutEvery: 97)
        let caches = ["name=big,items=9,keysize=300", "name=other,items=9", "name=few,items=9,keysize=20"]
        try hold(
            refused(301) + commands(300) + refused(2049, of: "other") + commands(2048, of: "other")
                + refused(21, of: "few") + commands(20, of: "few") + refused(251, of: "default")
                + commands(250, of: "default"),
            cutEvery: 97, options: caches.flatMap { ["--cache", $0] })
    }

    @Test func otherModifiers() throws {
        let cache = ["--cache", "name=big,items=9,keysize=65535"]
        for length in [2048, 65_535] {
            let key = Self.key(length)
            var exchanges: [Exchange] = []
            if length < 65_000 {
                exchanges.append(Exchange(Self.packet(1, Self.string(key) + Self.string([0x7a])), []))
                exchanges.append(
                    Exchange(Self.packet(3, Self.string(Array("key".utf8)) + Self.string(key)), [0x7a]))
                exchanges.append(
                    Exchange(Self.packet(4, Self.string(Array("get".utf8)) + Self.string(key)), [0x7a]))
                exchanges.append(Exchange(Self.packet(0, key), bytes("6f010000 7a")))
                exchanges.append(Exchange(Self.packet(5, key), bytes("6f000001 7a")))
                exchanges.append(Exchange(Self.packet(2, key), []))
            }
            exchanges.append(Exchange(Self.packet(0, key), []))
            exchanges.append(Exchange(Self.packet(5, key), bytes("6f000000")))
            try hold(exchanges, cutEvery: 997, options: cache)
        }
    }

    /// Items with long keys are counted and dropped, and no line of a text client has their keys.
    @Test func memcachedClientsBesideLongKeys() throws {
        let server = try InProcessServer(settings: settings(Self.caches + ["--cache", "name=c,items=9,listen=:0"]))
        for length in [249, 300, 2048] {
            let connection = InProcessConnection(server, bindingProtocol: .uwsgi)
            #expect(connection.receive(Self.dictionary("set", Self.text(length), "v", of: "c")) == bytes(Self.ok))
        }
        func ask(_ line: String) -> String {
            let connection = InProcessConnection(server, cacheNumber: 3)
            return String(decoding: connection.receive(Array((line + "\r\n").utf8)), as: UTF8.self)
        }
        let listed = String(decoding: Self.text(249), as: UTF8.self)
        for line in [
            "stats cachedump 1 0", "lru_crawler metadump all", "lru_crawler mgdump all", "lru_crawler scan 0 9",
        ] {
            let answer = ask(line)
            #expect(answer.contains(listed) && answer.utf8.count < 700, "\(line): \(answer.prefix(900))")
        }
        #expect(ask("stats").contains("STAT curr_items 3\r\n"))
        #expect(
            ask("get " + String(decoding: Self.text(300), as: UTF8.self)) == "CLIENT_ERROR bad command line format\r\n")
        #expect(ask("flush_all") == "OK\r\n" && ask("stats").contains("STAT curr_items 0\r\n"))
        #expect(server.checkInvariants().isEmpty)
    }

    private static func text(_ length: Int) -> [UInt8] { [UInt8](repeating: UInt8(ascii: "k"), count: length) }

    /// A cache keeps as many items with the longest keys as it promises.
    @Test(arguments: ["blocksize=64", "blocksize=64,bitmap=1", "blocksize=1", "blocksize=64,purge_lru=1"])
    func allItemsMayHaveTheLongestKeys(shape: String) throws {
        let server = try InProcessServer(settings: settings(["--cache", "name=big,items=2000,\(shape)"]))
        func send(_ request: [UInt8]) -> [UInt8] {
            InProcessConnection(server, bindingProtocol: .uwsgi).receive(request)
        }
        func key(_ number: Int) -> [UInt8] { Self.text(2044) + Array("\(1000 + number)".utf8) }
        for round in 0..<3 {
            for number in 0..<2000 {
                // In the second round the items become holes, one after another.
                #expect(send(Self.dictionary("update", key(number), "\(round)")) == bytes(Self.ok))
            }
        }
        for number in 0..<2000 { #expect(send(Self.dictionary("get", key(number))) == Self.found("2")) }
        #expect(server.checkInvariants().isEmpty)
    }

    private func hold(_ exchanges: [Exchange], cutEvery step: Int, options: [String] = caches) throws {
        let longest = exchanges.map(\.request.count).max() ?? 0
        try hold(exchanges, options) { [$0] }
        for cut in stride(from: 1, to: longest, by: step) {
            try hold(exchanges, options) { [Array($0.prefix(cut)), Array($0.dropFirst(cut))] }
        }
    }
}
