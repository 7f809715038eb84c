import LarderTesting
import Testing

@testable import LarderServer

/// Requests of one turn to several caches, and expired items between live ones. Debug builds also check the rules of
/// sections and views.
@Suite struct CachesInOneTurnTests {
    private static let policies = [
        "", ",purge_lru=1", ",bitmap=1,blocksize=64", ",sweep_on_full=1", ",clear_on_full=1", ",no_expire=1",
    ]

    /// An expired item that a batch of keys finds is removed after the last answer of the batch.
    @Test(arguments: policies)
    func expiredItemsAmongLiveOnes(policy: String) throws {
        // The time buckets are wide, so that gets find the expired items before the upkeep does.
        let caches = try NamedCacheTests.Caches(["--cache", "name=c,items=64,bucket_interval=36000\(policy),listen=:0"])
        for number in 0..<16 {
            let exptime = number % 3 == 1 ? 1 : 0
            #expect(caches.send("set k\(number) 0 \(exptime) 2\r\nv\(number % 10)\r\n", to: "c") == "STORED\r\n")
        }
        caches.server.advanceClock(milliseconds: 2000)
        let live = (0..<16).filter { $0 % 3 != 1 }
        let values = live.map { "VALUE k\($0) 0 2\r\nv\($0 % 10)\r\n" }
        let keys = (0..<16).map { "k\($0)" }.joined(separator: " ")
        #expect(caches.send("get \(keys)\r\n", to: "c") == values.joined() + "END\r\n")
        #expect(caches.send("stats\r\n", to: "c").contains("STAT get_expired 5\r\n"))
        // Single requests that are looked up together.
        for number in 0..<16 where number % 3 == 1 {
            #expect(caches.send("set k\(number) 0 1 2\r\nv1\r\n", to: "c") == "STORED\r\n")
        }
        caches.server.advanceClock(milliseconds: 2000)
        let pipelined = (0..<16).map { number in
            number % 3 == 1 ? "END\r\n" : "VALUE k\(number) 0 2\r\nv\(number % 10)\r\nEND\r\n"
        }
        #expect(caches.send((0..<16).map { "get k\($0)\r\n" }.joined(), to: "c") == pipelined.joined())
        #expect(caches.server.checkInvariants().isEmpty)
    }

    /// `lru_crawler crawl` removes expired items while it looks at others.
    @Test(arguments: policies)
    func aCrawlRemovesExpiredItems(policy: String) throws {
        let caches = try NamedCacheTests.Caches(["--cache", "name=c,items=640\(policy),listen=:0"])
        for number in 0..<300 {
            _ = caches.send("set k\(number) 0 \(number % 2) 2\r\nvv\r\n", to: "c")
        }
        caches.server.advanceClock(milliseconds: 2000)
        #expect(caches.send("lru_crawler crawl all\r\n", to: "c") == "OK\r\n")
        #expect(caches.send("stats\r\n", to: "c").contains("STAT curr_items 150\r\n"))
        #expect(caches.server.checkInvariants().isEmpty)
    }

    /// A turn switches between caches, by keys that name their cache: in one request, and in several.
    @Test func aTurnGoesFromCacheToCache() throws {
        let caches = try NamedCacheTests.Caches([
            "--cache", "name=a,items=64,listen=:0", "--cache", "name=b,items=64,purge_lru=1,listen=:0", "--key-route",
        ])
        let keys = ["k", "a/k", "b/k", "k2", "b/k2", "a/k2"]
        let sets = keys.map { "set \($0) 0 0 \($0.utf8.count)\r\n\($0)\r\n" }.joined()
        #expect(caches.send(sets) == String(repeating: "STORED\r\n", count: keys.count))
        let values = keys.map { "VALUE \($0) 0 \($0.utf8.count)\r\n\($0)\r\n" }
        #expect(caches.send("get \(keys.joined(separator: " "))\r\n") == values.joined() + "END\r\n")
        #expect(caches.send(keys.map { "get \($0)\r\n" }.joined()) == values.map { $0 + "END\r\n" }.joined())
        #expect(
            caches.send("incr a/n 1\r\nset a/n 0 0 1\r\n1\r\nincr a/n 1\r\nget b/n a/n\r\n")
                == "NOT_FOUND\r\nSTORED\r\n2\r\nVALUE a/n 0 1\r\n2\r\nEND\r\n")
        #expect(caches.server.checkInvariants().isEmpty)
    }
}
