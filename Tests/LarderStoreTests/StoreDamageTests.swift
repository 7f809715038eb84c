import CLarderArena
import Dispatch
import Foundation
import Glibc
import LarderTesting
import Testing

@testable import LarderStore

/// Another program changes the file of an open store: the store is emptied and continues in memory.
@Suite struct StoreDamageTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let keyCount = 500

    enum Change: CaseIterable {
        case truncated, truncatedToNothing, holed, zeroed, overwritten
    }
    enum Kind: CaseIterable {
        case plain, limited
    }

    @Test(arguments: Change.allCases, Kind.allCases)
    func aChangedFileEmptiesTheStore(change: Change, kind: Kind) throws {
        let file = try StoreTestFile()
        let store = try Self.store(file, kind)
        let session = try OneSession(store)
        Self.fill(session)
        let casBefore = larder_load_u64(&store.state.superblock.pointee.cas_last)
        let held = Int(store.statistics.counters.items)
        try Self.make(change, file.path)
        store.file?.awaitChange()
        #expect(store.state.isCondemned)
        for number in 0..<Self.keyCount { #expect(session.value(of: "key\(number)", now: Self.now) == nil) }
        #expect(store.damageReport.count == 1 && store.damageReport.itemsLost == held)
        #expect(store.checkInvariants().isEmpty)
        // The store still works, and gives out no cas twice.
        Self.expectWorking(store, session)
        #expect(larder_load_u64(&store.state.superblock.pointee.cas_last) > casBefore)
        // The file is no longer the store's, so a second change does nothing.
        try Self.make(.overwritten, file.path)
        #expect(session.value(of: "key1", now: Self.now) == Self.value(1) && !store.state.isCondemned)
    }

    /// The thread that makes the change is interrupted in the call that makes it.
    @Test(arguments: Change.allCases, Kind.allCases)
    func aThreadThatWatchesIsInterrupted(change: Change, kind: Kind) throws {
        let (file, otherFile) = (try StoreTestFile(), try StoreTestFile())
        let (store, other) = (try Self.store(file, kind), try Self.store(otherFile, kind))
        let session = try OneSession(store)
        Self.fill(session)
        let watch = ThreadFileWatch([other, store])
        defer { extendLifetime(watch) }
        let isWatched = watch.isComplete
        #expect(isWatched)
        let damages = StoreDamage.count
        try Self.make(change, file.path)
        #expect(store.state.isCondemned && StoreDamage.count != damages)
        #expect(!other.state.isCondemned)
        Self.expectWorking(store, session)
        #expect(store.damageReport.count == 1)
        // The file is no longer the store's.
        try Self.make(.overwritten, file.path)
        #expect(!store.state.isCondemned && !other.state.isCondemned)
        try Self.make(change, otherFile.path)
        #expect(other.state.isCondemned && !store.state.isCondemned)
    }

    /// A change through a mapping, of which the system gives no notice.
    @Test func aChangedItemHasNotItsChecksum() throws {
        let file = try StoreTestFile()
        let store = try Self.store(file, .plain)
        let session = try OneSession(store)
        Self.fill(session)
        func intact(_ key: String) -> Bool? {
            session.session.begin(now: Self.now)
            defer { session.session.end() }
            return Array(key.utf8).withUnsafeBytes { bytes in
                bytes.baseAddress.flatMap { start in
                    session.session.find(session.session.hashed(start, length: bytes.count), now: Self.now)
                        .map { session.session.isIntact($0) }
                }
            }
        }
        for key in ["key1", "key2", "large"] { #expect(intact(key) == true) }
        let bytes = UnsafeMutableRawBufferPointer(start: store.file?.base, count: store.file?.mappedBytes ?? 0)
        for key in ["key1value 1", "large" + String(repeating: "\u{7}", count: 100)] {
            let place = try #require(bytes.firstRange(of: Array(key.utf8)))
            bytes[place.upperBound - 1] ^= 1
        }
        #expect(intact("key1") == false && intact("key2") == true && intact("large") == false)
    }

    #if DEBUG
        /// A large item is being written while another thread empties the store: that waits for the section of the write,
        /// and the slabs of the item are then no longer its own.
        @Test(arguments: [true, false], 1...4)
        func aLargeWriteThatIsUnderWay(isReplacing: Bool, point: Int) throws {
            let file = try StoreTestFile()
            let store = try Self.store(file, .plain)
            let session = try OneSession(store)
            if isReplacing { session.set("large", to: Self.large, now: Self.now) }
            let process = store.state.process
            let hasEnded = DispatchSemaphore(value: 0)
            var pointsLeft = point
            process.pointee.crashHook = {
                // The other thread needs the store's locks.
                guard larder_holdings_of_thread().pointee.held == 0 else { return }
                pointsLeft -= 1
                guard pointsLeft == 0 else { return }
                store.state.condemn(.fileChanged)
                Thread {
                    store.repair()
                    hasEnded.signal()
                }.start()
                while larder_load_u32(&process.pointee.isClosed) == 0 { sched_yield() }
            }
            _ = session.set("large", to: Self.large, now: Self.now)
            process.pointee.crashHook = nil
            hasEnded.wait()
            #expect(pointsLeft <= 0 && store.damageReport.count == 1)
            let found = session.value(of: "large", now: Self.now)
            #expect(found == nil || found == Self.large)
            #expect(store.checkInvariants().isEmpty)
            Self.expectWorking(store, session)
            #expect(session.value(of: "large", now: Self.now) == Self.large)
        }
    #endif

    /// A bucket that stays locked, and a free list that is shorter than its count.
    @Test func noLoopGoesOnForEver() throws {
        let file = try StoreTestFile()
        let store = try Self.store(file, .plain)
        let session = try OneSession(store)
        Self.fill(session)
        // The state after a page of zeros has replaced the list.
        store.state.process.pointee.overflowFree = 0
        for number in 0..<Int(larder_load_u64(&store.state.superblock.pointee.bucket_count)) where number % 2 == 0 {
            store.state.bucketAddress(number).pointee.version |= 1
        }
        for number in 0..<20 { _ = session.set("other\(number)", to: [1], now: Self.now) }
        #expect(store.damageReport.cause == .lockedForEver)
        Self.expectWorking(store, session)
    }

    @Test func aListThatIsShorterThanItsCount() throws {
        let file = try StoreTestFile()
        let store = try Self.store(file, .plain)
        let session = try OneSession(store)
        Self.fill(session)
        store.state.process.pointee.overflowFree = 0
        larder_store_u64(&store.state.process.pointee.overflowLineCount, 1 << 20)
        for number in 0..<5000 { #expect(session.set("other\(number)", to: [1], now: Self.now) != .notStored) }
        for number in 4900..<5000 { #expect(session.value(of: "other\(number)", now: Self.now) == [1]) }
    }

    // MARK: Support

    private static let large = [UInt8](repeating: 7, count: 100_000)
    private static func value(_ number: Int) -> [UInt8] { Array("value \(number)".utf8) }

    private static func store(_ file: StoreTestFile, _ kind: Kind) throws -> Store {
        var configuration = StoreConfiguration(
            memoryBytes: 4 << 20, slabBytes: 16 << 10, hashSeed: 7, sessionsExpected: 2, filePath: file.path)
        configuration.waitMillisecondsMax = 50
        if kind == .limited {
            configuration.evicts = false
            configuration.limits = StoreLimits(
                itemsMax: 2000, blockBytes: 64, blocksMax: 10_000, isBitmap: true, valueBytesMax: 200_000,
                keyBytesMax: 250)
        }
        return try Store(configuration)
    }

    private static func fill(_ session: OneSession) {
        session.set("large", to: large, now: now)
        for number in 0..<keyCount { session.set("key\(number)", to: value(number), now: now) }
    }

    /// The store accepts items and returns them.
    private static func expectWorking(_ store: Store, _ session: OneSession) {
        fill(session)
        for number in 0..<keyCount { #expect(session.value(of: "key\(number)", now: now) == value(number)) }
        #expect(store.checkInvariants().isEmpty)
    }

    private static func make(_ change: Change, _ path: String) throws {
        let fd = open(path, O_RDWR)
        try #require(fd >= 0)
        defer { close(fd) }
        var status = stat()
        fstat(fd, &status)
        let garbage = [UInt8](repeating: 0xa5, count: 1 << 20)
        switch change {
        case .truncated: #expect(ftruncate(fd, status.st_size / 3) == 0)
        case .truncatedToNothing: #expect(ftruncate(fd, 0) == 0)
        case .holed: #expect(ftruncate(fd, status.st_size / 2) == 0 && ftruncate(fd, status.st_size) == 0)
        case .zeroed: #expect(ftruncate(fd, 0) == 0 && ftruncate(fd, status.st_size) == 0)
        case .overwritten: #expect(pwrite(fd, garbage, garbage.count, 0) == garbage.count)
        }
    }
}
