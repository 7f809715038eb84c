import Glibc
import LarderTesting
import Testing

@testable import LarderServer

/// Named caches through the text protocol, as their listeners and `--key-route` show them.
@Suite struct NamedCacheTests {
    /// A server without sockets, and a client for each of its caches by name.
    final class Caches {
        let server: InProcessServer
        private let numbers: [String: Int]

        init(_ arguments: [String]) throws {
            guard case .serve(let settings, _) = parseCommandLine(arguments) else {
                throw StoppedAtStart()
            }
            server = try InProcessServer(settings: settings)
            let names = settings.orderedCaches.map(\.name)
            numbers = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
        }
        struct StoppedAtStart: Error {}

        func send(_ text: String, to cache: String = "default") -> String {
            let connection = InProcessConnection(server, cacheNumber: numbers[cache] ?? 0)
            return String(decoding: connection.receive(Array(text.utf8)), as: UTF8.self)
        }

        // uWSGI's words: `set` is memcached's add, `update` its set.
        func set(_ key: String, _ value: String, in cache: String) -> Bool {
            send("add \(key) 0 0 \(value.utf8.count)\r\n\(value)\r\n", to: cache) == "STORED\r\n"
        }
        func update(_ key: String, _ value: String, in cache: String) -> Bool {
            send("set \(key) 0 0 \(value.utf8.count)\r\n\(value)\r\n", to: cache) == "STORED\r\n"
        }
        func delete(_ key: String, in cache: String) -> Bool { send("delete \(key)\r\n", to: cache) == "DELETED\r\n" }
        func clear(_ cache: String) -> Bool { send("flush_all\r\n", to: cache) == "OK\r\n" }
        func get(_ key: String, in cache: String) -> String? {
            let answer = send("get \(key)\r\n", to: cache)
            guard answer != "END\r\n", let line = answer.firstRange(of: "\r\n") else { return nil }
            return String(answer[line.upperBound...].dropLast("\r\nEND\r\n".count))
        }
        func statistic(_ name: String) -> String? {
            send("stats caches\r\n").split(separator: "\r\n").first { $0.hasPrefix("STAT \(name) ") }
                .map { String($0.dropFirst("STAT \(name) ".count)) }
        }
    }

    /// The caches of uWSGI's t/cachebitmap.py, with N items where it says N + 1.
    private func uwsgiCaches() throws -> Caches {
        try Caches(
            [
                "name=items_1,items=1,blocksize=1,blocks=4,bitmap=1",
                "name=items_2,items=2,blocksize=1,blocks=4,bitmap=1",
                "name=items_17,items=1,blocksize=1,blocks=17,bitmap=1",
                "name=items_4_10,items=4,blocksize=10,blocks=5,bitmap=1,keysize=200",
                "name=items_1_100000,items=1,blocksize=1000,blocks=100,bitmap=1",
                "name=items_non_bitmap,items=1,blocksize=20", "name=items_lru,items=2,blocksize=20,purge_lru=1",
            ].flatMap { ["--cache2", $0 + ",listen=:0"] })
    }

    @Test func failedByOne() throws {
        #expect(try !uwsgiCaches().update("key1", "HELLO", in: "items_1"))
    }
    @Test func okFourBytes() throws {
        #expect(try uwsgiCaches().update("key1", "HELL", in: "items_1"))
    }
    @Test func twoItemsUsingFourBlocks() throws {
        let caches = try uwsgiCaches()
        #expect(caches.update("key1", "HE", in: "items_2"))
        #expect(caches.update("key2", "LL", in: "items_2"))
        #expect(caches.delete("key1", in: "items_2"))
        #expect(!caches.update("key1", "HEL", in: "items_2"))
        #expect(caches.update("key1", "HE", in: "items_2"))
    }
    /// uWSGI needs room for the old value and the new one; here the old one's blocks are free for it.
    @Test func overlapping() throws {
        let caches = try uwsgiCaches()
        #expect(caches.update("key1", "HE", in: "items_2"))
        #expect(caches.update("key1", "HELL", in: "items_2"))
        #expect(!caches.update("key2", "H", in: "items_2"))
        #expect(caches.delete("key1", in: "items_2"))
        #expect(caches.update("key1", "HELL", in: "items_2"))
    }
    @Test func bigItem() throws {
        let caches = try uwsgiCaches()
        #expect(!caches.update("key1", "HELLOHELLOHELLOHEL", in: "items_17"))
        #expect(caches.update("key1", "HELLOHELLOHELLOHE", in: "items_17"))
    }
    @Test func setDoesNotOverwrite() throws {
        let caches = try uwsgiCaches()
        for _ in 0..<2 {
            #expect(caches.set("key1", "HELLO", in: "items_17"))
            #expect(!caches.set("key1", "HELLO", in: "items_17"))
            #expect(caches.delete("key1", in: "items_17"))
        }
    }
    @Test func tooManyItems() throws {
        let caches = try uwsgiCaches()
        for key in 1...4 { #expect(caches.set("key\(key)", "HELLO", in: "items_4_10")) }
        #expect(!caches.set("key5", "HELLO", in: "items_4_10"))
        #expect(
            caches.send("set key5 0 0 1\r\nx\r\n", to: "items_4_10") == "SERVER_ERROR out of memory storing object\r\n")
    }
    @Test func bigDelete() throws {
        let caches = try uwsgiCaches()
        #expect(caches.set("key1", String(repeating: "X", count: 50), in: "items_4_10"))
        #expect(caches.delete("key1", in: "items_4_10"))
        for key in 1...4 { #expect(caches.set("key\(key)", "HELLOHELLO", in: "items_4_10")) }
        #expect(!caches.set("key5", "HELLOHELLO", in: "items_4_10"))
    }
    @Test func bigUpdate() throws {
        let caches = try uwsgiCaches()
        #expect(caches.set("key1", String(repeating: "X", count: 40), in: "items_4_10"))
        #expect(caches.update("key1", String(repeating: "X", count: 10), in: "items_4_10"))
        #expect(caches.delete("key1", in: "items_4_10"))
        #expect(!caches.update("key1", String(repeating: "X", count: 51), in: "items_4_10"))
        #expect(caches.update("key1", String(repeating: "X", count: 50), in: "items_4_10"))
    }
    @Test func manyClears() throws {
        let caches = try uwsgiCaches()
        for _ in 0..<100 { #expect(caches.clear("items_4_10")) }
    }
    @Test func manyDeletions() throws {
        let caches = try uwsgiCaches()
        for round in 0..<300 {
            let fits = !(100..<200).contains(round)
            let value = String(repeating: "X", count: fits ? 50 : 51)
            #expect(caches.set("key1", value, in: "items_4_10") == fits)
            #expect(caches.delete("key1", in: "items_4_10") == fits)
        }
    }
    /// uWSGI's has 2,048 bytes; on a memcached port 250 is the most for any cache.
    @Test func bigKey() throws {
        let caches = try uwsgiCaches()
        #expect(caches.set(String(repeating: "K", count: 200), "X", in: "items_4_10"))
        #expect(!caches.set(String(repeating: "K", count: 201), "X", in: "items_4_10"))
        #expect(caches.get(String(repeating: "K", count: 201), in: "items_4_10") == nil)
        #expect(caches.set(String(repeating: "K", count: 250), "X", in: "items_17"))
        #expect(!caches.set(String(repeating: "K", count: 251), "X", in: "items_17"))
    }
    @Test func bigRandom() throws {
        let caches = try uwsgiCaches()
        var random = SeededRandom(seed: 100_000)
        let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")
        let blob = String((0..<100_000).map { _ in letters[Int(random.next() % UInt64(letters.count))] })
        #expect(caches.set("KEY", blob, in: "items_1_100000"))
        #expect(caches.get("KEY", in: "items_1_100000") == blob)
        #expect(caches.delete("KEY", in: "items_1_100000"))
        #expect(!caches.set("KEY", String(repeating: "X", count: 100_001), in: "items_1_100000"))
        #expect(caches.set("KEY", String(repeating: "X", count: 10_000), in: "items_1_100000"))
    }
    @Test func nonBitmap() throws {
        let caches = try uwsgiCaches()
        #expect(caches.set("KEY", String(repeating: "X", count: 20), in: "items_non_bitmap"))
        #expect(caches.delete("KEY", in: "items_non_bitmap"))
        #expect(!caches.set("KEY", String(repeating: "X", count: 21), in: "items_non_bitmap"))
        #expect(caches.set("KEY", String(repeating: "X", count: 20), in: "items_non_bitmap"))
    }
    @Test func leastRecentlyUsed() throws {
        let caches = try uwsgiCaches()
        for (key, letter) in [("KEY1", "X"), ("KEY2", "X"), ("KEY3", "Y")] {
            #expect(caches.set(key, String(repeating: letter, count: 20), in: "items_lru"))
        }
        #expect(caches.get("KEY1", in: "items_lru") == nil)
        #expect(caches.get("KEY3", in: "items_lru") != nil)
        for number in 4..<100 {
            #expect(caches.set("KEY\(number)", String(repeating: "Y", count: 20), in: "items_lru"))
            #expect(caches.get("KEY\(number - 2)", in: "items_lru") == nil)
        }
        #expect(caches.server.checkInvariants().isEmpty)
    }

    // MARK: What uWSGI gets wrong (1.9 of the reference)

    /// A set that needs the room of several items gets it at once.
    @Test func evictsUntilItFits() throws {
        let caches = try Caches(["--cache", "name=c,items=10,blocksize=10,blocks=10,bitmap=1,purge_lru=1,listen=:0"])
        for key in 0..<10 { #expect(caches.update("k\(key)", "0123456789", in: "c")) }
        #expect(caches.update("big", String(repeating: "b", count: 95), in: "c"))
        #expect(caches.get("big", in: "c")?.utf8.count == 95)
        #expect((0..<10).allSatisfy { caches.get("k\($0)", in: "c") == nil })
        #expect(caches.statistic("c:items") == "1" && caches.statistic("c:full") == "1")
    }

    /// Rewriting the only big item neither fails nor loses it, even when a new one is refused.
    @Test(arguments: ["", ",purge_lru=1"])
    func rewritesTheOnlyBigItem(policy: String) throws {
        let caches = try Caches(["--cache", "name=c,items=10,blocksize=10,blocks=10,bitmap=1\(policy),listen=:0"])
        for round in 0..<50 {
            let value = String(repeating: "\(round % 10)", count: 91 + round % 10)
            #expect(caches.update("big", value, in: "c"))
            #expect(caches.get("big", in: "c") == value)
        }
        #expect(caches.send("append big 0 0 10\r\n0123456789\r\n", to: "c") == "NOT_STORED\r\n")
        #expect(caches.get("big", in: "c")?.utf8.count == 100)
    }

    // MARK: Promises

    @Test func oneBlockIsTheLimit() throws {
        let caches = try Caches([
            "--cache", "name=single,items=10,listen=:0", "--cache", "name=run,items=4,blocksize=1k,bitmap,listen=:0",
        ])
        #expect(caches.update("k", String(repeating: "x", count: 65_536), in: "single"))
        #expect(caches.get("k", in: "single")?.utf8.count == 65_536)
        let large = String(repeating: "x", count: 65_537)
        #expect(
            caches.send("set k 0 0 65537\r\n\(large)\r\n", to: "single")
                == "SERVER_ERROR object too large for cache\r\n")
        #expect(caches.update("k", String(repeating: "x", count: 4096), in: "run"))
        #expect(!caches.update("k", String(repeating: "x", count: 4097), in: "run"))
    }

    @Test(arguments: [(1, ""), (10, ""), (1000, ""), (1000, ",strict_items=1"), (1000, ",bitmap,blocksize=64")])
    func holdsWhatItSays(items: Int, more: String) throws {
        let caches = try Caches(["--cache", "name=c,items=\(items)\(more),listen=:0"])
        let held = more.contains("strict") ? items - 1 : items
        for key in 0..<held { #expect(caches.update("key-\(key)", "v\(key)", in: "c")) }
        #expect(!caches.update("one-more", "v", in: "c"))
        for key in 0..<held { #expect(caches.get("key-\(key)", in: "c") == "v\(key)") }
        #expect(caches.statistic("c:items") == "\(held)" && caches.statistic("c:max_items") == "\(items)")
        // An item that goes makes room for one, and one that is replaced needs none.
        #expect(caches.update("key-0", "again", in: "c"))
        #expect(caches.delete("key-0", in: "c"))
        #expect(caches.update("one-more", "v", in: "c"))
        #expect(caches.server.checkInvariants().isEmpty)
    }

    @Test func clearOnFull() throws {
        let caches = try Caches(["--cache", "name=c,items=4,clear_on_full,listen=:0"])
        for key in 1...9 { #expect(caches.update("k\(key)", "v", in: "c")) }
        #expect((1...9).filter { caches.get("k\($0)", in: "c") != nil } == [9])
    }

    @Test func emptyValuesTakeAnItemAndNoBlock() throws {
        let caches = try Caches(["--cache", "name=c,items=3,blocksize=4,bitmap=1,listen=:0"])
        #expect(caches.update("a", "", in: "c"))
        #expect(caches.update("b", String(repeating: "x", count: 12), in: "c"))
        #expect(caches.get("a", in: "c") == "")
        #expect(!caches.update("c", "y", in: "c"))
    }

    // MARK: Apart from each other

    @Test func equalKeysDoNotMeet() throws {
        let caches = try Caches([
            "--cache", "name=a,items=9,listen=:0", "--cache", "name=b,items=9,listen=:0", "--key-route",
        ])
        for name in ["a", "b", "default"] { #expect(caches.update("k", "in \(name)", in: name)) }
        for name in ["a", "b", "default"] { #expect(caches.get("k", in: name) == "in \(name)") }
        let answer = "VALUE k 0 10\r\nin default\r\nVALUE a/k 0 4\r\nin a\r\nVALUE b/k 0 4\r\nin b\r\nEND\r\n"
        #expect(caches.send("get k a/k b/k c/k\r\n") == answer)
        #expect(caches.clear("a"))
        #expect(
            caches.get("k", in: "a") == nil && caches.get("k", in: "b") != nil && caches.get("k", in: "default") != nil)
        #expect(caches.statistic("a:items") == "0" && caches.statistic("b:items") == "1")
        // On a listener of its own, a slash is a letter.
        #expect(caches.update("b/k", "mine", in: "a"))
        #expect(caches.get("b/k", in: "a") == "mine" && caches.get("k", in: "b") == "in b")
    }

    @Test func everyCommandFollowsTheRoute() throws {
        let caches = try Caches(["--cache", "name=a,items=9,blocksize=64", "--key-route"])
        let steps = [
            ("set a/k 0 0 2\r\n41\r\n", "STORED\r\n"), ("incr a/k 1\r\n", "42\r\n"), ("decr a/k 2\r\n", "40\r\n"),
            ("append a/k 0 0 1\r\n0\r\n", "STORED\r\n"), ("get a/k\r\n", "VALUE a/k 0 3\r\n400\r\nEND\r\n"),
            ("touch a/k 0\r\n", "TOUCHED\r\n"), ("gat 0 a/k\r\n", "VALUE a/k 0 3\r\n400\r\nEND\r\n"),
            ("add a/k 0 0 1\r\n0\r\n", "NOT_STORED\r\n"), ("replace a/k 0 0 1\r\n7\r\n", "STORED\r\n"),
            ("get k\r\n", "END\r\n"), ("delete a/k\r\n", "DELETED\r\n"), ("get a/k\r\n", "END\r\n"),
            // No cache is called so, or no key is left: keys of the main port's own.
            ("set z/k 0 0 1\r\nz\r\n", "STORED\r\n"), ("get z/k\r\n", "VALUE z/k 0 1\r\nz\r\nEND\r\n"),
            ("set a/ 0 0 1\r\ny\r\n", "STORED\r\n"), ("get a/\r\n", "VALUE a/ 0 1\r\ny\r\nEND\r\n"),
            ("set a/b/c 0 0 1\r\nx\r\n", "STORED\r\n"), ("get a/b/c\r\n", "VALUE a/b/c 0 1\r\nx\r\nEND\r\n"),
        ]
        for (request, answer) in steps { #expect(caches.send(request) == answer, "\(request)") }
        #expect(caches.statistic("a:items") == "1" && caches.statistic("default:items") == "2")
        let large = String(repeating: "x", count: 65)
        #expect(caches.send("set a/k 0 0 65\r\n\(large)\r\n") == "SERVER_ERROR object too large for cache\r\n")
        #expect(caches.send("set a/k 0 0 64\r\n\(large.dropLast())\r\n") == "STORED\r\n")
    }

    /// Values in pieces find their cache again when others had their turn.
    @Test func valuesInPieces() throws {
        let caches = try Caches(["--cache", "name=a,items=9", "--key-route"])
        let one = InProcessConnection(caches.server)
        #expect(one.receive(Array("set a/k 0 0 10\r\n01234".utf8)).isEmpty)
        #expect(caches.send("set k 0 0 1\r\nx\r\n") == "STORED\r\n")
        #expect(
            one.receive(Array("56789\r\nget a/k\r\n".utf8))
                == Array("STORED\r\nVALUE a/k 0 10\r\n0123456789\r\nEND\r\n".utf8))
        #expect(caches.statistic("a:items") == "1" && caches.statistic("default:items") == "1")
    }

    // MARK: Statistics, numbers, times

    @Test func statisticsAreTheCachesOwn() throws {
        let caches = try Caches(["--cache", "name=a,items=9,hash=murmur2,hashsize=17,keysize=30,lastmod,listen=:0"])
        #expect(caches.update("k", "v", in: "a"))
        _ = caches.get("k", in: "a")
        _ = caches.get("x", in: "a")
        func line(_ cache: String, _ name: String) -> String? {
            caches.send("stats\r\n", to: cache).split(separator: "\r\n").first { $0.hasPrefix("STAT \(name) ") }
                .map { String($0.split(separator: " ")[2]) }
        }
        #expect(line("a", "get_hits") == "1" && line("a", "curr_items") == "1" && line("a", "cmd_set") == "1")
        #expect(line("default", "get_hits") == "0" && line("default", "curr_items") == "0")
        #expect(line("a", "limit_maxbytes") == "\(9 * 65_536)" && line("default", "limit_maxbytes") == "\(64 << 20)")
        let wanted = [
            "name": "a", "hash": "murmur2", "hashsize": "17", "keysize": "30", "max_items": "9", "blocks": "9",
            "blocksize": "65536", "items": "1", "hits": "1", "miss": "1", "full": "0",
        ]
        for (field, value) in wanted { #expect(caches.statistic("a:\(field)") == value, "\(field)") }
        let modified = Int(caches.statistic("a:last_modified_at") ?? "") ?? 0
        #expect(abs(modified - time(nil)) < 60)
        #expect(caches.statistic("default:last_modified_at") == "0")
        // Resetting one cache's counters leaves the other's.
        _ = caches.get("k", in: "default")
        #expect(caches.send("stats reset\r\n", to: "a") == "RESET\r\n")
        #expect(line("a", "get_hits") == "0" && line("default", "get_misses") == "1")
    }

    @Test func mathInitial() throws {
        let caches = try Caches([
            "--cache", "name=from,items=9,math_initial=100,listen=:0", "--cache", "name=none,items=9,listen=:0",
        ])
        #expect(caches.send("incr k 1\r\nincr k 1\r\n", to: "from") == "101\r\n102\r\n")
        #expect(caches.send("decr j 1\r\ndecr i 101\r\n", to: "from") == "99\r\n0\r\n")
        #expect(caches.get("j", in: "from") == "99")
        #expect(caches.send("incr k 1\r\n", to: "none") == "NOT_FOUND\r\n")
        #expect(caches.send("incr k 1 noreply\r\nget k\r\n", to: "from").hasPrefix("VALUE k 0 3\r\n103"))
    }

    /// No read returns what is over, whatever the options; and it gives its place back by itself.
    @Test(arguments: ["", ",purge_lru=1", ",no_expire=1", ",lazy=1"])
    func expiry(policy: String) throws {
        let caches = try Caches(["--cache", "name=c,items=2,bucket_interval=1\(policy),listen=:0"])
        #expect(caches.send("set a 0 10 1\r\na\r\n", to: "c") == "STORED\r\n")
        caches.server.advanceClock(milliseconds: 9999)
        #expect(caches.get("a", in: "c") == "a")
        caches.server.advanceClock(milliseconds: 1)
        #expect(caches.send("get a\r\n", to: "c") == "END\r\n")
        #expect(caches.send("set b 0 10 1\r\nb\r\n", to: "c") == "STORED\r\n")
        caches.server.advanceClock(milliseconds: 12_000)
        for _ in 0..<10 { _ = caches.send("version\r\n", to: "c") }
        #expect(caches.statistic("c:items") == (policy.contains("no_expire") ? "1" : "0"))
        #expect(caches.get("b", in: "c") == nil)
    }
}
