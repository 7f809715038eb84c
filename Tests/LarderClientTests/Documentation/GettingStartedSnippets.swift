// snippet: main
import LarderClient
// end
import Testing

@Suite struct GettingStartedSnippets {
    @Test func theFirstValue() async throws {
        let server = try TestServer()
        let output = Shared<[String]>([])
        // The test's server is at another address, and what the program prints is looked at.
        // swift-format-ignore: AlwaysUseLowerCamelCase
        func MemcacheConnection(to _: ServerAddress) -> LarderClient.MemcacheConnection {
            server.connection()
        }
        func print(_ line: String) { output.change { $0.append(line) } }

        // snippet: main
        struct Visitor: Codable {
            var name: String
            var languages: [String]
        }

        let connection = MemcacheConnection(to: .host("127.0.0.1", port: 11211))
        let cache = RemoteCache(connection)

        // Text, bytes and numbers are stored as other languages' clients store them.
        try await cache.set("greeting", "Hello", expiration: .after(.seconds(60)))
        let greeting = try await cache.get("greeting", as: String.self)
        print(greeting ?? "There is no greeting.")

        // Whatever else is Codable is stored as JSON.
        try await cache.set("visitor:1", Visitor(name: "Ada", languages: ["en", "fr"]))
        if let visitor = try await cache.get("visitor:1", as: Visitor.self) {
            print("\(visitor.name) speaks \(visitor.languages.count) languages.")
        }

        // One is added to 0 the first time, by the server, whoever else is counting.
        let visits = try await cache.incr("visits", initial: 0)
        print("Visit \(visits ?? 0)")

        await connection.close()
        // end

        let article = try #require(Article.all.first { $0.name == "GettingStarted" })
        #expect(article.blocks("text") == [output.value.joined(separator: "\n")])
        let items = try await server.connection().items(for: ["greeting"])
        #expect(items["greeting"]?.bytes == Array("Hello".utf8))
    }
}
