import LarderClient
import Testing

@Suite struct DependenciesSnippets {
    @Test func masterKeys() async throws {
        let server = try TestServer()
        let cache = RemoteCache(server.connection())

        // snippet: several
        try await cache.setMulti(["k1": 1, "k2": 2, "k3": 3])
        let dependency = CacheDependency(cache, "master-key")
        try await dependency.addMulti(["k1", "k2", "k3"])
        // end
        // snippet: elsewhere
        try await cache.set("k4", 4)
        try await CacheDependency(cache, "master-key").add("k4")
        // end

        let article = try #require(Article.all.first { $0.name == "Dependencies" })
        let keys = try await dependency.keys().filter { $0.hasPrefix("master-key") }.sorted()
        let values = try await cache.values(of: keys, namespace: nil)
        let lines = keys.map { "\($0) \(String(decoding: values[$0]?.bytes ?? [], as: UTF8.self))" }
        #expect(article.blocks("text") == [lines.joined(separator: "\n")])

        // snippet: deleted
        try await CacheDependency(cache, "master-key").delete()
        // end
        #expect(try await cache.values(of: keys + ["k1", "k2", "k3", "k4"], namespace: nil).isEmpty)
    }

    @Test func madeValues() async throws {
        let cache = try MemoryCache()
        func sumOfInvoices(customer: Int) async throws -> Int { customer * 100 }

        // snippet: made
        let cached = Cached(cache, expiration: .after(.seconds(3600)))
        let total = try await cached.getOrCreate(
            "total:7", dependsOn: { _ in "customer:7" },
            create: { try await sumOfInvoices(customer: 7) })
        // end
        #expect(total == 700)
        #expect(try await cache.get("total:7") == 700)

        // snippet: paid
        try await cached.dependency("customer:7").delete()
        // end
        #expect(try await cache.get("total:7", as: Int.self) == nil)
    }

    @Test func namespaceByNamespace() async throws {
        let namespaces = try CacheClient(
            ["membership": try MemoryCache(), "funds": try MemoryCache()], defaultNamespace: "funds")
        for namespace in ["membership", "funds"] {
            try await namespaces.set("k", 1, namespace: namespace)
            try await CacheDependency(namespaces, "master-key").add("k", namespace: namespace)
        }

        // snippet: namespaces
        for namespace in ["membership", "funds"] {
            try await CacheDependency(namespaces, "master-key").delete(namespace: namespace)
        }
        // end
        #expect(try await namespaces.get("k", as: Int.self, namespace: "membership") == nil)
        #expect(try await namespaces.get("k", as: Int.self, namespace: "funds") == nil)
    }
}
