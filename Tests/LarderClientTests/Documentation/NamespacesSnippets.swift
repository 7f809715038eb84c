import LarderClient
import Testing

@Suite struct NamespacesSnippets {
    @Test func namespaces() async throws {
        let shared = try MemoryCache()
        let members = try MemoryCache()
        let output = Shared<[String]>([])
        func print(_ error: CacheError) { output.change { $0.append("\(error)") } }

        // snippet: client
        let cache = try CacheClient(
            ["default": shared, "membership": members, "funds": NullCache()],
            defaultNamespace: "default")

        try await cache.set("greeting", "Hello")
        try await cache.set("user:1", "Ada", namespace: "membership")
        try await cache.set("fund:1", "Index", namespace: "funds")
        // end
        #expect(try await shared.get("greeting") == "Hello")
        #expect(try await members.get("user:1") == "Ada")
        #expect(try await cache.get("fund:1", as: String.self, namespace: "funds") == nil)

        // snippet: reading
        let user = try await cache.get("user:1", as: String.self, namespace: "membership")
        let nobody = try await cache.get("user:1", as: String.self)
        // end
        #expect(user == "Ada")
        #expect(nobody == nil)

        // snippet: unknown
        do throws(CacheError) {
            try await cache.set("user:2", "Grace", namespace: "members")
        } catch {
            print(error)
        }
        // end
        let article = try #require(Article.all.first { $0.name == "Namespaces" })
        #expect(article.blocks("text") == output.value)

        // snippet: flush
        let isEmpty = try await cache.flushAll()
        // end
        #expect(isEmpty)
        #expect(try await shared.get("greeting", as: String.self) == nil)
        #expect(try await members.get("user:1", as: String.self) == nil)
    }
}
