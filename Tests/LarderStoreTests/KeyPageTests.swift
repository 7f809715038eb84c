import LarderTesting
import Testing

@testable import LarderStore

/// Lists of keys, page by page.
@Suite struct KeyPageTests {
    private static let now: Int64 = 1_000_000

    private static func set(_ key: String, expiry: Int64 = Int64.max, _ session: borrowing Session) {
        Array(key.utf8).withUnsafeBytes { raw in
            guard let start = raw.baseAddress else { return }
            _ = session.store(
                .set, session.hashed(start, length: raw.count), value: start, valueLength: raw.count, clientFlags: 0,
                expiry: expiry, now: now)
        }
    }

    private static func fill(_ store: Store, _ keys: some Sequence<String>) throws {
        let session = try store.makeSession()
        session.begin(now: now)
        for key in keys { set(key, session) }
        session.end()
    }

    private static func store(_ keys: some Sequence<String>) throws -> Store {
        let store = try Store(StoreConfiguration(memoryBytes: 16 << 20))
        try fill(store, keys)
        return store
    }

    /// All pages, one behind the other.
    private static func pages(
        of store: Store, prefix: String = "", keysMax: Int, bucketsMax: Int = Int.max,
        between: (Int) throws -> Void = { _ in }
    ) throws -> [[String]] {
        var pages: [[String]] = []
        var cursor: UInt64 = 0
        repeat {
            let page = try store.keys(
                KeyPage(from: cursor, prefix: Array(prefix.utf8), keysMax: keysMax), bucketsMax: bucketsMax, now: now)
            pages.append(page.keys.map { String(decoding: $0, as: UTF8.self) })
            try #require(page.cursor == 0 || page.cursor > cursor)
            cursor = page.cursor
            try between(pages.count)
        } while cursor != 0
        return pages
    }

    @Test(arguments: [1, 2, 3, 7, 100, 999, 1000, 1001, 5000])
    func eachKeyIsOnOnePage(keysMax: Int) throws {
        let keys = (0..<1000).map { "key \($0)" }
        let pages = try Self.pages(of: Self.store(keys), keysMax: keysMax)
        #expect(pages.flatMap { $0 }.sorted() == keys.sorted())
        // Each page but the last is full.
        #expect(pages.dropLast().allSatisfy { $0.count == keysMax })
        #expect(pages.allSatisfy { $0.count <= keysMax })
    }

    @Test func byPrefix() throws {
        let store = try Self.store((0..<500).flatMap { ["user:\($0)", "page:\($0)"] } + ["user", "user:"])
        let pages = try Self.pages(of: store, prefix: "user:", keysMax: 10)
        #expect(pages.flatMap { $0 }.sorted() == ((0..<500).map { "user:\($0)" } + ["user:"]).sorted())
        #expect(try Self.pages(of: store, prefix: "none", keysMax: 10) == [[]])
        #expect(try Self.pages(of: store, prefix: "user:12345", keysMax: 10) == [[]])
    }

    /// The index grows many times over between the pages. Each key that is there all the time is on one page.
    @Test func theIndexMayGrowMeanwhile() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let store = try Store(StoreConfiguration(memoryBytes: 64 << 20))
        let kept = (0..<2000).map { "kept \($0)" }
        try Self.fill(store, kept)
        let before = store.statistics.bucketCount
        var added = 0
        let pages = try Self.pages(of: store, keysMax: 37) { number in
            guard number % 4 == 0, added < 60_000 else { return }
            let count = Int.random(in: 1...6000, using: &random)
            try Self.fill(store, (added..<added + count).map { "new \($0)" })
            added += count
        }
        #expect(store.statistics.bucketCount > 4 * before)
        let met = pages.flatMap { $0 }
        #expect(met.filter { $0.hasPrefix("kept") }.sorted() == kept.sorted(), "seed \(seed)")
        #expect(Set(met).count == met.count, "seed \(seed)")
    }

    @Test func expiredKeysAreLeftOut() throws {
        let store = try Self.store([])
        let session = try store.makeSession()
        session.begin(now: Self.now)
        for number in 0..<100 {
            Self.set("dead \(number)", expiry: Self.now, session)
            Self.set("live \(number)", expiry: Self.now + 1, session)
        }
        session.end()
        let keys = try Self.pages(of: store, keysMax: 9).flatMap { $0 }
        #expect(keys.sorted() == (0..<100).map { "live \($0)" }.sorted())
    }

    /// A limit on buckets ends a page early, and no key is lost.
    @Test(arguments: [1, 32, 33, 100])
    func shortPages(bucketsMax: Int) throws {
        let keys = (0..<3000).map { "key \($0)" }
        let pages = try Self.pages(of: Self.store(keys), keysMax: 500, bucketsMax: bucketsMax)
        #expect(pages.flatMap { $0 }.sorted() == keys.sorted())
    }

    @Test func anyCursorIsTaken() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        var random = SeededRandom(seed: seed)
        let store = try Self.store((0..<1000).map { "key \($0)" })
        let cursors = [UInt64.max, UInt64.max - 1, 1, 1 << 63] + (0..<200).map { _ in random.next() }
        var previous: (cursor: UInt64, count: Int)?
        for cursor in cursors.sorted() {
            let keys = try store.keys(
                KeyPage(from: cursor, prefix: [], keysMax: 5000), bucketsMax: Int.max, now: Self.now
            ).keys
            // A later cursor leaves out more.
            if let previous { #expect(keys.count <= previous.count, "seed \(seed), cursor \(cursor)") }
            previous = (cursor, keys.count)
        }
        #expect((previous?.count ?? 1000) < 10)
    }
}
