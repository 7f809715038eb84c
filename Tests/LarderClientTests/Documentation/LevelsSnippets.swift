import LarderClient
import Testing

@Suite struct LevelsSnippets {
    @Test func nearAndFar() async throws {
        let server = try TestServer()
        let servers = RemoteCache(server.connection())

        // snippet: near and far
        let cache = MultilevelCache(
            near: try MemoryCache(memoryBytes: 4 << 20), far: servers, nearDuration: .seconds(2))
        try await cache.set("greeting", "Hello")
        let greeting = try await cache.get("greeting", as: String.self)
        // end
        #expect(greeting == "Hello")
        #expect(try await servers.get("greeting") == greeting)
    }

    @Test func layers() async throws {
        let file = TestFile()
        let path = file.path
        let server = try TestServer()
        let connection = server.connection()
        let output = Shared<[String]>([])
        @Sendable func print(_ line: String) { output.change { $0.append(line) } }

        // snippet: cookies
        let cookies = try await LayeredCache(
            name: "cookies", limits: LevelLimits(itemsMax: 100), levels: [CookieJarLevel(path: path)])
        let cookie = "example.org\tFALSE\t/\tTRUE\t4000000000\tid\t42"
        try await cookies.write("example.org|/|id", Array(cookie.utf8))
        let line = try await cookies.get("example.org|/|id")
        // end
        #expect(line == Array(cookie.utf8))

        // snippet: lookup
        for result in try await cookies.lookup("example.org|/shop|*") {
            print("\(result.key) has \(result.payloadBytes) bytes")
        }
        try await cookies.remove("example.org|*")
        // end
        #expect(try await cookies.get("example.org|/|id") == nil)
        try await cookies.expunge()

        let article = try #require(Article.all.first { $0.name == "Levels" })
        let texts = article.blocks("text")
        #expect(texts.first == output.value.joined(separator: "\n"))
        output.change { $0 = [] }

        // snippet: removals
        let recent = try await LayeredCache(
            name: "recent", limits: LevelLimits(itemsMax: 2), levels: [RemoteLevel(connection)],
            onRemoval: { removal in print("\(removal.item.key) leaves \(removal.level): \(removal.reason)") })
        for key in ["a", "b", "c"] { try await recent.write(key, [1, 2, 3]) }
        let first = try await recent.get("a")
        // end
        #expect(first == [1, 2, 3])
        #expect(recent.itemCount == 2)
        #expect(Array(texts.dropFirst()) == [output.value.joined(separator: "\n")])
    }
}

// snippet: own level
actor ShelfLevel: CacheLevel {
    nonisolated let name = "shelf"
    private var items: [String: LevelItem] = [:]
    private var context = LevelContext()

    func create(_ context: LevelContext) { self.context = context }
    func write(_ item: LevelItem) { items[item.key] = item }
    func get(_ key: String) -> LevelItem? { items[key] }

    func lookup(_ pattern: KeyPattern) -> [LevelEntry] {
        items.values.filter { pattern.matches($0.key) }.map { item in
            LevelEntry(
                key: item.key, payloadBytes: item.payload.count, endMilliseconds: item.endMilliseconds)
        }
    }

    func invalidate(_ pattern: KeyPattern, reason: RemovalReason) {
        for key in items.keys.filter({ pattern.matches($0) }) {
            if let item = items.removeValue(forKey: key) { context.removed(item, reason) }
        }
    }

    func expunge() { invalidate(.everything, reason: .expunged) }
    func destroy() { invalidate(.everything, reason: .destroyed) }
}
// end

extension LevelsSnippets {
    @Test func ownLevel() async throws {
        // snippet: own level in use
        let shelved = try await LayeredCache(
            name: "shelved", levels: [ShelfLevel(), HeapLevel(name: "L3")])
        try await shelved.write("a", [1], expiration: .after(.seconds(60)))
        // end
        #expect(try await shelved.get("a") == [1])
        #expect(try await shelved.debugDump().contains("shelf: 1 items"))
        try await shelved.remove("a*")
        #expect(try await shelved.lookup("*").map(\.key) == [])
    }
}
