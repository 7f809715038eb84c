import LarderTesting
import Testing

@testable import LarderStore

/// The rules of sections, locks and waits (`StoreLocks`). Each test breaks one rule in a process of its own.
@Suite struct SectionTests {
    private static let now: Int64 = 1_700_000_000_000

    /// A store of a few slabs, with an item to find.
    private static func smallStore(_ limits: StoreLimits? = nil) throws -> Store {
        var configuration = StoreConfiguration(
            memoryBytes: 1 << 20, slabBytes: 16 << 10, hashSeed: 7, sessionsExpected: 2)
        configuration.limits = limits
        configuration.evicts = limits == nil
        configuration.waitMillisecondsMax = 50
        return try Store(configuration)
    }

    #if DEBUG
        @Test func anItemIsNotLookedAtAfterItsSection() async {
            await #expect(processExitsWith: .failure) {
                let session = try Self.smallStore().makeSession()
                session.set("key", to: [1, 2, 3], now: Self.now)
                try Self.withKey("key", session) { key in
                    session.begin(now: Self.now)
                    guard let item = session.find(key, now: Self.now) else { return }
                    session.end()
                    session.begin(now: Self.now)
                    _ = item.value
                }
            }
        }

        /// In a store with limits, removing an expired item may wait for another writer. So views end even if it does
        /// not wait.
        @Test func anItemIsNotLookedAtAfterAnotherIsRemoved() async {
            await #expect(processExitsWith: .failure) {
                let limits = StoreLimits(
                    itemsMax: 10, blockBytes: 64, blocksMax: 100, isBitmap: true, valueBytesMax: 1000, keyBytesMax: 250)
                let session = try Self.smallStore(limits).makeSession()
                session.set("key", to: [1, 2, 3], now: Self.now)
                try Self.withKey("key", session) { key in
                    session.begin(now: Self.now)
                    guard let item = session.find(key, now: Self.now) else { return }
                    session.removeDead(key, now: Self.now)
                    _ = item.valueLength
                }
            }
        }

        @Test func aThreadIsInASectionOfOneStore() async {
            await #expect(processExitsWith: .failure) {
                let one = try Self.smallStore().makeSession()
                let other = try Self.smallStore().makeSession()
                one.begin(now: Self.now)
                other.begin(now: Self.now)
            }
        }

        @Test func noThreadWaitsForSpaceInASection() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                let session = try store.makeSession()
                session.begin(now: Self.now)
                _ = Space(locking: store.state)
            }
        }

        @Test func spaceIsNotTakenUnderOpenSlabs() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                store.state.lock(.openSlabs, &store.state.mover.pointee.openSlabsLock)
                _ = Space(locking: store.state)
            }
        }

        /// The same calls in the right order are allowed: only the broken rules fail above.
        @Test func allowedCallsDoNotFail() async {
            await #expect(processExitsWith: .success) {
                let store = try Self.smallStore()
                let session = try store.makeSession()
                session.begin(now: Self.now)
                session.end()
                let space = Space(locking: store.state)
                store.state.lock(.openSlabs, &store.state.mover.pointee.openSlabsLock)
                store.state.unlock(.openSlabs, &store.state.mover.pointee.openSlabsLock)
                space.unlock()
                let other = try Self.smallStore().makeSession()
                other.begin(now: Self.now)
                other.end()
            }
        }

        private static func withKey(_ key: String, _ session: borrowing Session, _ body: (HashedKey) throws -> Void)
            throws
        {
            let bytes = Array(key.utf8)
            try bytes.withUnsafeBytes { bytes in
                guard let start = bytes.baseAddress else { return }
                try body(session.hashed(start, length: bytes.count))
            }
        }
    #endif

    /// A section that never ends: writes wait for memory for a limited time, and are then refused.
    @Test func aWriteIsRefusedRatherThanWaitForEver() throws {
        let store = try Self.smallStore()
        let reader = try OneSession(store)
        let writer = try OneSession(store)
        actAsAnotherThread { reader.session.begin(now: Self.now) }
        var outcomes: Set<StoreOutcome> = []
        for number in 0..<200 {
            outcomes.insert(writer.set("key\(number)", to: [UInt8](repeating: 1, count: 10_000), now: Self.now))
            if outcomes.contains(.noMemory) { break }
        }
        #expect(outcomes.contains(.noMemory))
        actAsAnotherThread { reader.session.end() }
        #expect(writer.set("key", to: [1], now: Self.now) == .stored)
        #expect(store.checkInvariants().isEmpty)
    }
}
