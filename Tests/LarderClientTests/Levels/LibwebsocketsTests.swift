import Testing

@testable import LarderClient

/// What libwebsockets tests of its lws_cache, here.
@Suite struct LibwebsocketsTests {
    private static let cookies: [(tag: String, line: String)] = [
        ("host.com|/|mycookie", "host.com\tFALSE\t/\tTRUE\t4000000000\tmycookie\tmycookievalue"),
        ("host.com|/xxx|mycookie", "host.com\tFALSE\t/xxx\tTRUE\t4000000000\tmycookie\tmyxxxcookievalue"),
        ("host.com|/|extra", "host.com\tFALSE\t/\tTRUE\t4000000000\textra\tcookie3value"),
        ("host.com|/yyy|newcookie", "host.com\tFALSE\t/yyy\tTRUE\t4000000000\tnewcookie\tnewcookievalue"),
    ]

    private let clock = TestClock()

    @Test func justL1() async throws {
        let cache = try await LayeredCache(name: "L1", clock: clock.cacheClock)
        try await cache.write("a", Array("is_a\0".utf8), expiration: .after(.seconds(1)))
        try await cache.write("b", Array("is_b\0".utf8), expiration: .after(.seconds(2)))
        #expect(try await cache.get("a") == Array("is_a\0".utf8))
        #expect(try await cache.get("b") == Array("is_b\0".utf8))
        await until { clock.sleepers > 0 }
        clock.advance(.milliseconds(1200))
        #expect(try await cache.get("a") == nil)
        #expect(try await cache.get("b") == Array("is_b\0".utf8))
        await until { cache.itemCount == 1 }
    }

    @Test func justL1Limits() async throws {
        let cache = try await LayeredCache(name: "L1_lim", limits: LevelLimits(itemsMax: 1))
        try await cache.write("a", Array("is_a\0".utf8), expiration: .after(.seconds(1)))
        try await cache.write("b", Array("is_b\0".utf8), expiration: .after(.seconds(2000)))
        #expect(try await cache.get("a") == nil)
        #expect(try await cache.get("b") == Array("is_b\0".utf8))
    }

    @Test func cookieJar() async throws {
        let file = TestFile()
        let jar = WatchedLevel(CookieJarLevel(path: file.path))
        let cache = try await LayeredCache(name: "L1", levels: [jar], clock: clock.cacheClock)
        func write(_ number: Int) async throws {
            // The end that the caller says is not the cookie's.
            try await cache.write(
                Self.cookies[number].tag, Array(Self.cookies[number].line.utf8),
                expiration: .after(.seconds(1)))
        }
        for number in 0..<3 { try await write(number) }
        for (tag, line) in Self.cookies[..<3] {
            #expect(cache.first.get(tag)?.payload == Array(line.utf8))
            #expect(try await jar.get(tag)?.payload == Array(line.utf8))
            #expect(try await cache.get(tag) == Array(line.utf8))
        }
        #expect(try await cache.get("x.com|y|z") == nil)

        var sizes: [Int] = []
        func lookup(_ path: String) async throws -> [String] {
            let results = try await cache.lookup("host.com|\(path)|*")
            sizes.append(results.bytes.count)
            return results.map(\.key).sorted()
        }
        #expect(try await lookup("/") == ["host.com|/|extra", "host.com|/|mycookie"])
        #expect(try await lookup("/xxx").count == 3)
        #expect(try await lookup("/yyyy").count == 2)
        let reads = jar.reads
        #expect(try await lookup("/yyyy").count == 2)
        #expect(jar.reads == reads)
        try await cache.remove(Self.cookies[0].tag)
        #expect(try await lookup("/") == ["host.com|/|extra"])
        try await write(3)
        #expect(try await lookup("/yy") == ["host.com|/|extra"])
        #expect(try await lookup("/yyy") == ["host.com|/yyy|newcookie", "host.com|/|extra"].sorted())
        #expect(sizes == [53, 84, 53, 53, 25, 25, 57])
    }
}
