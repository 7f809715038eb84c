import LarderClient
import Testing

@Suite struct PoolsSnippets {
    @Test func connections() async throws {
        let server = try TestServer()
        let address = server.address
        let configuration = server.configuration

        // snippet: eager
        let pool = try await EagerPool(size: 4, to: address, configuration: configuration)
        let cache = RemoteCache(Pooled(pool))
        try await cache.set("greeting", "Hello")
        // end
        #expect(try server.connectionCount() == 4)

        // snippet: borrowed
        let isChanged = try await pool.withConnection { connection in
            guard let item = try await connection.items(for: ["greeting"])["greeting"] else { return false }
            let longer = NewItem(
                key: "greeting", bytes: item.bytes + Array(", world".utf8), flags: item.flags)
            // Only if nobody has stored another one meanwhile.
            return try await connection.replace(longer, cas: item.cas, expiration: .never)
        }
        // end
        #expect(isChanged)
        #expect(pool.freeCount == 4)

        // snippet: closed
        await pool.close()
        // end
        await #expect(throws: MemcacheError.self) { _ = try await pool.acquire() }

        // snippet: lazy
        let lazyPool = LazyPool(size: 16, to: address, configuration: configuration)
        let lazyCache = RemoteCache(Pooled(lazyPool))
        let greeting = try await lazyCache.get("greeting", as: String.self)
        // end
        #expect(greeting == "Hello, world")
        #expect(lazyPool.freeCount == 16)
        try await until { try server.connectionCount() == 1 }
        await lazyPool.close()
    }

    @Test func otherThings() async throws {
        // snippet: other
        struct Press: Poolable {
            var isBroken: Bool { false }
            func printed(_ text: String) -> String { text.uppercased() }
            func close() async {}
        }

        let presses = try await EagerPool(size: 2) { Press() }
        let page = try await presses.withConnection { press in press.printed("hello") }
        // end
        #expect(page == "HELLO")
        #expect(presses.freeCount == 2)
    }
}
