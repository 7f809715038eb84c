// snippet: server
import LarderClient
import LarderTestServer
import Synchronization
import Testing
// end

// snippet: server
@Test func aGreetingEndsAfterAMinute() async throws {
    try await LarderTestServer.withServer { server in
        let cache = server.makeCache()
        try await cache.set("greeting", "Hello", expiration: .after(.seconds(60)))
        server.advance(by: .seconds(59))
        #expect(try await cache.get("greeting") == "Hello")
        server.advance(by: .seconds(1))
        #expect(try await cache.get("greeting", as: String.self) == nil)
    }
}
// end

// snippet: away
@Test func aServerThatIsAwayIsAnError() async throws {
    let server = try LarderTestServer()
    let cache = server.makeCache()
    try await cache.set("greeting", "Hello")
    server.stop()
    await #expect(throws: CacheError.self) { try await cache.set("greeting", "Hello") }
    try server.restart()
    #expect(try await cache.get("greeting", as: String.self) == nil)
}
// end

// snippet: year
@Test func aYearInAMoment() async throws {
    let now = Atomic<Int64>(0)
    let clock = CacheClock(
        now: { now.load(ordering: .relaxed) },
        sleep: { now.add(Int64($0 / .milliseconds(1)), ordering: .relaxed) })
    let cache = try MemoryCache(clock: clock)
    try await cache.set("greeting", "Hello", expiration: .after(.seconds(3600)))
    now.store(3600 * 1000, ordering: .relaxed)
    #expect(try await cache.get("greeting", as: String.self) == nil)
}
// end
