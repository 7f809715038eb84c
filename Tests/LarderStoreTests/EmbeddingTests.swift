import Dispatch
import LarderStore
import LarderTesting
import Synchronization
import Testing

/// The store as a program outside the package uses it: `Store.open`, sessions with a clock of their own, readers.
@Suite struct EmbeddingTests {
    private static let capacity = 1 << 20

    // MARK: One session

    @Test func aValueIsStoredReadReplacedAndRemoved() throws {
        let session = try OneClient(Store.open(.memory, capacity: Self.capacity))
        #expect(session.value(of: "key") == nil)
        #expect(!session.remove("key"))
        #expect(session.set("key", to: [1, 2, 3]) == .stored)
        #expect(session.value(of: "key") == [1, 2, 3])
        #expect(session.set("key", to: []) == .stored)
        #expect(session.value(of: "key") == [])
        #expect(session.bytes(of: Array("key".utf8)) == [])
        #expect(session.remove("key"))
        #expect(session.value(of: "key") == nil)
        #expect(session.bytes(of: Array("key".utf8)) == nil)
    }

    /// Keys and values of any bytes, as spans.
    @Test func spansAreStoredAndRead() throws {
        let session = try OneClient(Store.open(.memory, capacity: Self.capacity))
        let key: [UInt8] = [0, 0xff, 0x0a]
        let value = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(session.set(key, to: value) == .stored)
        #expect(session.add(key, key) == .alreadyThere)
        #expect(session.value(of: key) == value)
        #expect(session.bytes(of: key) == value)
        #expect(session.touch(key, expires: .after(.seconds(60))))
        #expect(session.remove(key))
        #expect(!session.touch(key, expires: .never))
    }

    @Test func addStoresOnce() throws {
        let store = try Store.open(.memory, capacity: Self.capacity)
        let (first, second) = (try OneClient(store), try OneClient(store))
        #expect(first.add("lock", [1]) == .stored)
        #expect(second.add("lock", [2]) == .alreadyThere)
        #expect(second.value(of: "lock") == [1])
        #expect(first.remove("lock"))
        #expect(second.add("lock", [2]) == .stored)
    }

    @Test func keysHaveLengths() throws {
        let session = try OneClient(Store.open(.memory, capacity: 16 << 20))
        let longest = String(repeating: "k", count: StoreSession.keyBytesMax)
        #expect(session.set(longest, to: [1]) == .stored)
        #expect(session.value(of: longest) == [1])
        for outcome in [session.set("", to: [1]), session.add("", [1])] { #expect(outcome == .emptyKey) }
        #expect(session.set(longest + "k", to: [1]) == .tooLarge)
        #expect(session.value(of: longest + "k") == nil)
        #expect(session.value(of: "") == nil)
        #expect(!session.remove(""))
        #expect(!session.touch(longest + "k", expires: .never))
    }

    @Test func aValueThatIsTooLargeRemovesTheOlderOne() throws {
        var options = StoreOptions()
        options.itemBytesMax = 1000
        let session = try OneClient(Store.open(.memory, capacity: Self.capacity, options: options))
        #expect(session.set("key", to: [1]) == .stored)
        #expect(session.set("key", to: [UInt8](repeating: 1, count: 1000)) == .tooLarge)
        #expect(session.value(of: "key") == nil)
    }

    @Test func aStoreThatMayNotEvictRefuses() throws {
        var options = StoreOptions()
        options.evicts = false
        let store = try Store.open(.memory, capacity: Self.capacity, options: options)
        let session = try OneClient(store)
        var number = 0
        while session.set("key-\(number)", to: [UInt8](repeating: 1, count: 1000)) == .stored { number += 1 }
        #expect(session.set("key-\(number)", to: [UInt8](repeating: 1, count: 1000)) == .noMemory)
        #expect(session.value(of: "key-0") != nil)
        let statistics = store.statistics
        #expect(statistics.refusals == 2 && statistics.evictions == 0)
        #expect(statistics.items == number && statistics.itemsStored == number)
        #expect(statistics.liveBytes > number * 1000 && statistics.liveBytes < statistics.capacityBytes)
    }

    @Test func aFullStoreEvicts() throws {
        let store = try Store.open(.memory, capacity: Self.capacity)
        let session = try OneClient(store)
        for number in 0..<5000 {
            #expect(session.set("key-\(number)", to: [UInt8](repeating: 1, count: 1000)) == .stored)
        }
        #expect(session.value(of: "key-4999") != nil)
        #expect(store.statistics.evictions > 3000)
    }

    @Test func removeAllRemovesWhatOthersStored() throws {
        let store = try Store.open(.memory, capacity: Self.capacity)
        let (first, second) = (try OneClient(store), try OneClient(store))
        for number in 0..<100 { first.set("key-\(number)", to: [1]) }
        second.removeAll()
        for number in 0..<100 { #expect(first.value(of: "key-\(number)") == nil) }
        #expect(store.statistics.items == 0)
        #expect(first.set("key-1", to: [2]) == .stored)
        #expect(second.value(of: "key-1") == [2])
    }

    // MARK: Expiry

    @Test func aPastTimeExpiresAtOnce() throws {
        let session = try OneClient(Store.open(.memory, capacity: Self.capacity))
        for expiry in [Expiry.after(.zero), .after(.seconds(-5)), .at(unixSeconds: 0), .at(unixSeconds: .min)] {
            #expect(session.set("key", to: [1], expires: expiry) == .stored)
            #expect(session.value(of: "key") == nil, "\(expiry)")
            session.set("key", to: [1])
            #expect(session.touch("key", expires: expiry))
            #expect(session.value(of: "key") == nil, "\(expiry)")
        }
        for expiry in [Expiry.never, .after(.seconds(Int64.max)), .at(unixSeconds: .max), .after(.seconds(3600))] {
            #expect(session.set("key", to: [1], expires: expiry) == .stored)
            #expect(session.value(of: "key") == [1], "\(expiry)")
        }
    }

    @Test(arguments: [
        (Expiry.never, Int64.max), (.after(.milliseconds(1)), 1_000_001), (.after(.microseconds(1)), 1_000_001),
        (.after(.microseconds(2001)), 1_000_003), (.after(.seconds(300)), 1_300_000), (.after(.zero), 1_000_000),
        (.after(.seconds(-1)), 1_000_000), (.after(.milliseconds(Int64.max - 1_000_000)), .max),
        (.after(.milliseconds(Int64.max - 1_000_001)), .max - 1), (.after(.seconds(Int64.max)), .max),
        (.after(.seconds(Int64.max) * 4), .max), (.at(unixSeconds: 7), 7000), (.at(unixSeconds: -7), 0),
        (.at(unixSeconds: .max), .max), (.at(unixSeconds: .min), 0),
    ])
    func anExpiryIsAbsoluteMilliseconds(expiry: Expiry, expected: Int64) {
        #expect(expiry.milliseconds(now: 1_000_000) == expected)
    }

    // MARK: Sections

    /// A body that throws ends its section: another session gets the memory that is given back.
    @Test func anErrorInABodyReachesTheCaller() throws {
        struct Refusal: Error, Equatable {}
        let store = try Store.open(.memory, capacity: Self.capacity)
        let (first, second) = (try OneClient(store), try OneClient(store))
        first.set("key", to: [1])
        #expect(throws: Refusal()) { try first.refuse("key", Refusal()) }
        for number in 0..<3000 {
            try #require(second.set("key-\(number)", to: [UInt8](repeating: 1, count: 1000)) == .stored)
        }
        #expect(first.set("key", to: [2]) == .stored)
        #expect(first.value(of: "key") == [2])
    }

    /// Several threads share one session under a lock, while each has one of its own, too.
    @Test func sessionsMoveBetweenThreads() throws {
        let store = try Store.open(.memory, capacity: 16 << 20)
        let shared = Mutex(try store.session())
        let won = Atomic<Int>(0)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            guard var own = try? store.session() else { return }
            for number in 0..<500 {
                let key = "key-\(number)"
                let outcome =
                    thread % 2 == 0
                    ? own.add(key, Array(key.utf8)) : shared.withLock { $0.add(key, Array(key.utf8)) }
                if outcome == .stored { won.add(1, ordering: .relaxed) }
            }
        }
        #expect(won.load(ordering: .relaxed) == 500)
        for number in 0..<500 {
            #expect(shared.withLock { $0.value(of: "key-\(number)") } == Array("key-\(number)".utf8))
        }
    }

    @Test func aStoreHas256Sessions() throws {
        let store = try Store.open(.memory, capacity: Self.capacity)
        try useSessions(of: store, count: 256)
        #expect(throws: StoreError.tooManySessions(limit: 256)) { try useSessions(of: store, count: 257) }
        try useSessions(of: store, count: 1)
    }

    private func useSessions(of store: Store, count: Int) throws(StoreError) {
        guard count > 0 else { return }
        let session = try store.session()
        try useSessions(of: store, count: count - 1)
        _ = consume session
    }

    // MARK: Files

    @Test func aFileOutlivesItsStore() throws {
        let file = try StoreTestFile()
        do {
            let session = try OneClient(Store.open(.file(file.path), capacity: Self.capacity))
            session.set("stays", to: [1], expires: .after(.seconds(3600)))
            session.set("ended", to: [2], expires: .after(.zero))
        }
        let store = try Store.open(.file(file.path), capacity: Self.capacity)
        #expect(store.recovery.isComplete && store.recovery.items == 1 && store.recovery.droppedItems == 0)
        let session = try OneClient(store)
        #expect(session.value(of: "stays") == [1])
        #expect(session.value(of: "ended") == nil)
        #expect(store.damageReport.count == 0 && store.damageReport.itemsLost == 0)
    }

    @Test func aFileHasOneStore() throws {
        let file = try StoreTestFile()
        let store = try Store.open(.file(file.path), capacity: Self.capacity)
        do {
            _ = try Store.open(.file(file.path), capacity: Self.capacity)
            Issue.record("two stores have one file open")
        } catch {
            guard case .fileRefused(file.path, .inUse) = error else {
                Issue.record("\(error)")
                return
            }
        }
        #expect(store.recovery.items == 0)
    }

    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func aReaderSeesWhatASessionDid(access: StoreReader.Access) throws {
        let file = try StoreTestFile()
        let store = try Store.open(.file(file.path), capacity: Self.capacity)
        let session = try OneClient(store)
        let reader = try OneReader(file.path, access)
        #expect(reader.value(of: "key") == .missing)
        session.set("key", to: [1, 2], expires: .at(unixSeconds: 32_503_680_000))
        #expect(reader.value(of: "key") == .found([1, 2]))
        #expect(reader.value(of: Array("key".utf8)) == .found([1, 2]))
        #expect(reader.length(of: "key") == .found(2))
        guard case .found(let attributes) = reader.attributes(of: "key") else {
            Issue.record("the item is not found")
            return
        }
        #expect(attributes.expiryMilliseconds == 32_503_680_000_000)
        #expect(attributes.clientFlags == 0 && !attributes.isStale && attributes.cas > 0)
        session.set("key", to: [3])
        #expect(reader.expires("key") == .found(false))
        session.set("key", to: [3], expires: .after(.zero))
        #expect(reader.value(of: "key") == .missing)
        session.set("key", to: [4])
        session.removeAll()
        #expect(reader.value(of: "key") == .missing)
        #expect(reader.value(of: "") == .missing)
    }

    @Test func errorsNameTheRemedy() throws {
        let file = try StoreTestFile()
        #expect(throws: StoreError.memoryOutOfRange(bytes: 100)) { try Store.open(.memory, capacity: 100) }
        do {
            _ = try StoreReader(path: file.path)
            Issue.record("there is no file")
        } catch {
            #expect("\(error)".hasPrefix("cannot use \(file.path) as a store: "))
        }
    }
}

/// A session in a class, so that tests can use it in an expectation. What takes arrays as keys calls with spans.
private final class OneClient {
    private var session: StoreSession

    init(_ store: Store) throws(StoreError) { session = try store.session() }

    @discardableResult
    func set(_ key: String, to value: [UInt8], expires: Expiry = .never) -> WriteOutcome {
        session.set(key, to: value, expires: expires)
    }
    func set(_ key: [UInt8], to value: [UInt8]) -> WriteOutcome { session.set(key.span.bytes, to: value.span.bytes) }
    func add(_ key: String, _ value: [UInt8]) -> WriteOutcome { session.add(key, value) }
    func add(_ key: [UInt8], _ value: [UInt8]) -> WriteOutcome { session.add(key.span.bytes, value.span.bytes) }
    func touch(_ key: String, expires: Expiry) -> Bool { session.touch(key, expires: expires) }
    func touch(_ key: [UInt8], expires: Expiry) -> Bool { session.touch(key.span.bytes, expires: expires) }
    func remove(_ key: String) -> Bool { session.remove(key) }
    func remove(_ key: [UInt8]) -> Bool { session.remove(key.span.bytes) }
    func removeAll() { session.removeAll() }
    func value(of key: String) -> [UInt8]? { session.value(of: key) }
    func value(of key: [UInt8]) -> [UInt8]? { session.value(of: key.span.bytes) }
    /// Read in place.
    func bytes(of key: [UInt8]) -> [UInt8]? {
        session.withValue(key.span.bytes) { bytes in bytes.withUnsafeBytes { [UInt8]($0) } }
    }
    func refuse<Refusal: Error>(_ key: String, _ refusal: Refusal) throws(Refusal) {
        try session.withValue(key) { _ throws(Refusal) in throw refusal }
    }
}

/// A reader in a class.
private final class OneReader {
    private var reader: StoreReader

    init(_ path: String, _ access: StoreReader.Access) throws(StoreError) {
        reader = try StoreReader(path: path, access: access)
    }

    func value(of key: String) -> ReadOutcome<[UInt8]> { reader.value(of: key) }
    func value(of key: [UInt8]) -> ReadOutcome<[UInt8]> { reader.value(of: key.span.bytes) }
    func length(of key: String) -> ReadOutcome<Int> { reader.withValue(key) { $0.byteCount } }
    func attributes(of key: String) -> ReadOutcome<ItemAttributes> {
        reader.withItem(key.utf8Span.span.bytes) { $1 }
    }
    func expires(_ key: String) -> ReadOutcome<Bool> {
        reader.withItem(key.utf8Span.span.bytes) { $1.expiryMilliseconds != nil }
    }
}
