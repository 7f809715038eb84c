import LarderClient
import Testing

@Suite struct CreationSnippets {
    private let makes = Shared(0)

    private func makeReport(_ year: Int) async throws -> String {
        makes.next()
        return "report of \(year)"
    }

    @Test func onceForAll() async throws {
        let server = try TestServer()
        let cache = RemoteCache(server.connection())
        let reports = try await withThrowingTaskGroup { group in
            for _ in 0..<20 { group.addTask { try await annualReport(cache) } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(reports == ["report of 2026"])
        #expect(makes.value == 1)
    }

    private func annualReport(_ cache: RemoteCache) async throws -> String {
        // snippet: once
        let cached = Cached(cache, expiration: .after(.seconds(300)), timeout: .seconds(10))
        let report = try await cached.getOrCreate("report:2026") {
            try await makeReport(2026)
        }
        // end
        return report
    }

    @Test func functions() async throws {
        let cache = try MemoryCache()
        let cached = Cached(cache)

        // snippet: wrapped
        let reports = cached.wrapped("report", keys: KeyBuilder("shop"), creation: .onePass) { (year: Int) in
            try await makeReport(year)
        }
        let latest = try await reports(2026)  // under shop-report:2026
        // end
        #expect(latest == "report of 2026")
        #expect(try await cache.get("shop-report:2026") == latest)
        #expect(try await reports(2026) == latest)
        #expect(makes.value == 1)
    }

    @Test func byHand() async throws {
        let server = try TestServer()
        let cache = RemoteCache(server.connection())
        #expect(try await oldReport(cache) == "report of 2025")
        #expect(try await oldReport(cache) == "report of 2025")
        #expect(makes.value == 1)

        try await cache.delete("report:2025")
        let lease = try await cache.lease("report:2025", duration: .seconds(3600), namespace: nil)
        guard case .won(let ticket) = lease else {
            Issue.record("nobody else has it: \(lease)")
            return
        }
        #expect(try await oldReport(cache) == nil)
        try await cache.abandon(ticket, "report:2025", namespace: nil)
        #expect(try await oldReport(cache) == "report of 2025")
    }

    private func oldReport(_ cache: RemoteCache) async throws -> String? {
        // snippet: lease
        switch try await cache.lease("report:2025", duration: .seconds(10), namespace: nil) {
        case .found(let value):
            return try value.decoded(as: String.self)
        case .won(let ticket):
            let report = try await makeReport(2025)
            let value = try EncodedValue(encoding: report)
            _ = try await cache.fulfil(ticket, "report:2025", value, expiration: .never, namespace: nil)
            return report
        case .lost:
            return nil  // somebody else is making it
        }
        // end
    }
}
