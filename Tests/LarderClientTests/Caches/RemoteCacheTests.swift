import Testing

@testable import LarderClient

@Suite struct RemoteCacheTests {
    private let servers = MapServers(clock: TestClock())

    @Test func valuesAreOthersToo() async throws {
        let cache = RemoteCache(servers)
        try await cache.setMulti(["number": 5])
        try await cache.set("text", "é")
        try await cache.set("bytes", [UInt8](arrayLiteral: 0, 255))
        #expect(servers.stored("number").map { ($0.flags, $0.bytes) } ?? (0, []) == (2, Array("5".utf8)))
        #expect(servers.stored("text").map { ($0.flags, $0.bytes) } ?? (0, []) == (16, Array("é".utf8)))
        #expect(servers.stored("bytes").map { ($0.flags, $0.bytes) } ?? (1, []) == (0, [0, 255]))
    }

    @Test func manyAreOneRequest() async throws {
        let cache = RemoteCache(servers)
        let values = Dictionary(uniqueKeysWithValues: (0..<100).map { ("k\($0)", $0) })
        try await cache.setMulti(values)
        #expect(try await cache.getMulti(Array(values.keys)) == values)
        try await cache.deleteMulti(Array(values.keys))
        #expect(servers.requests == 3)
    }

    @Test func largeValuesAreDeflated() async throws {
        let cache = RemoteCache(servers, compression: Compression(bytesMin: 100))
        let text = String(repeating: "all the same ", count: 100)
        try await cache.set("large", text)
        try await cache.set("small", "small")
        try await cache.set("number", UInt64.max)
        let item = try #require(servers.stored("large"))
        #expect(item.flags == 16 | 8)
        #expect(item.bytes.count < 60)
        #expect(servers.stored("small")?.flags == 16)
        #expect(try await cache.get("large") == text)
        // Whether or not this one deflates.
        #expect(try await RemoteCache(servers).get("large") == text)
    }

    @Test func whatInflatesTooFarIsRefused() async throws {
        let zeros = [UInt8](repeating: 0, count: 10_000_000)
        try await RemoteCache(servers, compression: Compression()).set("bomb", zeros)
        let narrow = RemoteCache(servers, inflatedBytesMax: zeros.count - 1)
        let error = await #expect(throws: CacheError.self) { try await narrow.get("bomb", as: [UInt8].self) }
        #expect(error?.code == .cannotDecode)
        let wide = RemoteCache(servers, inflatedBytesMax: zeros.count)
        #expect(try await wide.get("bomb", as: [UInt8].self) == zeros)
    }

    @Test func aServerThatIsDownIsAnErrorThatSaysSo() async throws {
        struct Down: Error {}
        servers.fail(with: Down())
        let cache = RemoteCache(servers)
        let error = await #expect(throws: CacheError.self) { try await cache.get("k", as: Int.self) }
        #expect(error?.code == .unavailable)
        #expect(error?.underlying is Down)
        servers.fail(with: CancellationError())
        let cancelled = await #expect(throws: CacheError.self) { try await cache.incr("k") }
        #expect(cancelled?.code == .cancelled)
    }

    /// What a caller may want to tell from a server that is down.
    @Test func errorsHaveCodesOfTheirOwn() async throws {
        let codes: [(MemcacheError.Code, CacheError.Code)] = [
            (.timedOut, .timedOut), (.closed, .closed), (.invalidKey, .badKey),
            (.authenticationFailed, .authenticationFailed), (.notSupported, .notSupported),
            (.cannotConnect, .unavailable), (.connectionLost, .unavailable), (.noServer, .unavailable),
        ]
        for (code, expected) in codes {
            servers.fail(with: MemcacheError(code, "a server by name"))
            let error = await #expect(throws: CacheError.self) {
                try await RemoteCache(servers).get("k", as: Int.self)
            }
            #expect(error?.code == expected)
            #expect(error?.message.contains("a server by name") == true)
            #expect(error?.isOutage == ![.badKey, .notSupported].contains(expected))
        }
    }

    @Test func aValueThatCannotBeReadIsNamed() async throws {
        let cache = RemoteCache(servers)
        try await cache.setMulti(["good": "1", "bad": "no number"])
        let one = await #expect(throws: CacheError.self) { try await cache.get("bad", as: Int.self) }
        let many = await #expect(throws: CacheError.self) {
            try await cache.getMulti(["good", "bad"], as: Int.self)
        }
        for error in [one, many] {
            #expect(error?.code == .cannotDecode)
            #expect(error?.message.contains("\"bad\"") == true)
        }
    }

    @Test func encodedKeysComeBackAsTheyWere() async throws {
        let cache = RemoteCache(servers, keyEncoding: .base64)
        let key = "a key with spaces\r\nand more"
        try await cache.set(key, 1)
        #expect(servers.keys == ["YSBrZXkgd2l0aCBzcGFjZXMNCmFuZCBtb3Jl"])
        #expect(try await cache.getMulti([key], as: Int.self) == [key: 1])
        #expect(try await cache.addMulti([key: 2]) == [key])
    }
}
