/// One cache of the server under test: its options, and the commands that the clients send to it.
struct CachePlan: Sendable {
    enum Sizes {
        /// 16 to 300 bytes, and one value in 256 of some KB.
        case small
        /// 3,000 to 4,200 bytes: shorter values are copied into the answer, longer ones are not.
        case fourKB
        /// 100 bytes to 2 MB, half of them over 20 KB.
        case mixed
        /// 100 bytes to 2 MB, most of them small.
        case large
    }

    /// `default` is the cache of the main port.
    var name: String
    /// The options after `name=` in `--cache`, without `listen` and `store`. Empty for a cache of memcached's kind.
    var keys: String
    /// Whether the cache may evict: then a miss is never a loss.
    var mayEvict: Bool
    var hasStore = true
    /// The number of keys of each client.
    var keyCount: Int
    /// How many of a thousand keys are set with an expiry of one to three seconds each time.
    var shortLived: Int
    var sizes: Sizes
    /// How many of a hundred batches write.
    var writing: Int
    /// The number of commands in a batch that writes.
    var writesEach = 24
    var mayFlush = true
    /// How many of eight gets ask for another client's keys, which that client may overwrite meanwhile.
    var foreignReads: UInt64 = 1
    /// Whether every other client mostly reads: it reads the keys of the clients that mostly write.
    var hasRoles = false

    var isMain: Bool { name == "default" }

    /// The length of a value. Values of short-lived keys are always small.
    @inline(__always)
    func length(_ random: UInt64, isShortLived: Bool) -> Int {
        let place = Int(random &>> 16)
        if isShortLived { return 16 + place % 48 }
        switch sizes {
        case .small: return random & 0xff == 0 ? 300 + place % 8000 : 16 + place % 284
        case .fourKB: return 3000 + place % 1200
        case .mixed: return 100 + place % (random & 1 == 0 ? 20_000 : random & 62 == 0 ? 2_000_000 : 700_000)
        case .large:
            switch random & 0xff {
            case ..<160: return 100 + place % 900
            case ..<224: return 1000 + place % 30_000
            case ..<250: return 30_000 + place % 500_000
            default: return 500_000 + place % 1_500_000
            }
        }
    }

    /// How many of a hundred batches of this client write.
    func writing(by client: Int) -> UInt64 {
        hasRoles ? (client % 2 == 0 ? 95 : 5) : UInt64(writing)
    }

    @inline(__always)
    func isShortLived(_ index: Int) -> Bool {
        (isMostlyDead ? index : index &* 379) % 1000 >= 1000 - shortLived
    }

    /// Whether most keys are short-lived.
    var isMostlyDead: Bool { shortLived > 900 }

    /// The caches of the campaign. The first three never evict; the others may.
    static func campaign(clients: Int) -> [CachePlan] {
        let all = clients * 4000
        return [
            CachePlan(
                name: "default", keys: "", mayEvict: false, keyCount: 4000, shortLived: 200, sizes: .small,
                writing: 30),
            CachePlan(
                name: "sessions", keys: "items=\(all * 2),blocksize=64,bitmap=1,blocks=\(all * 12)",
                mayEvict: false,
                keyCount: 4000, shortLived: 250, sizes: .small, writing: 30),
            CachePlan(
                name: "kept", keys: "items=\(clients * 1000 + 100),blocksize=9k,no_expire=1,lastmod=1",
                mayEvict: false, hasStore: false, keyCount: 1000, shortLived: 100, sizes: .small, writing: 25),
            pages(clients),
            CachePlan(
                name: "large", keys: "items=800,blocksize=64k,bitmap=1,blocks=900,purge_lru=1",
                mayEvict: true,
                keyCount: 200, shortLived: 100, sizes: .large, writing: 20, writesEach: 4),
            CachePlan(
                name: "swept",
                keys:
                    "items=\(clients * 200),blocksize=512,bitmap=1,blocks=\(clients * 400),sweep_on_full=1,clear_on_full=1",
                mayEvict: true, keyCount: 400, shortLived: 500, sizes: .small, writing: 30),
        ]
    }

    /// Four caches of all kinds: expiry, eviction and the growth of an index happen at the same time.
    static func stress(clients: Int) -> [CachePlan] {
        [
            CachePlan(
                name: "default", keys: "", mayEvict: true, hasStore: false, keyCount: 3000, shortLived: 100,
                sizes: .mixed, writing: 70, writesEach: 12, mayFlush: false),
            pages(clients),
            CachePlan(
                name: "large", keys: "items=500,blocksize=64k,bitmap=1,blocks=600,purge_lru=1",
                mayEvict: true,
                hasStore: false, keyCount: 1000, shortLived: 100, sizes: .mixed, writing: 70, writesEach: 12,
                mayFlush: false),
            CachePlan(
                name: "sessions",
                keys: "items=\(clients * 9000),blocksize=64,bitmap=1,blocks=\(clients * 200_000)",
                mayEvict: false, hasStore: false, keyCount: 4000, shortLived: 250, sizes: .small, writing: 40),
        ]
    }

    /// Live keys that are overwritten all the time, between expired keys that no client asks for.
    private static func pages(_ clients: Int) -> CachePlan {
        CachePlan(
            name: "pages", keys: "items=45000,blocksize=64,bitmap=1,blocks=100000,purge_lru=1",
            mayEvict: true,
            hasStore: false, keyCount: 80_000 / clients / 1000 * 1000, shortLived: 995, sizes: .fourKB,
            writing: 50, writesEach: 32,
            mayFlush: false, foreignReads: 8, hasRoles: true)
    }
}
