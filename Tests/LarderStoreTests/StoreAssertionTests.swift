import LarderTesting
import Testing

@testable import LarderStore

/// What a debug build of the store stops at. Each test breaks one invariant in a process of its own.
@Suite struct StoreAssertionTests {
    private static func smallStore() throws -> Store {
        try Store(StoreConfiguration(memoryBytes: 1 << 20, slabBytes: 16 << 10, hashSeed: 7, sessionsExpected: 2))
    }

    #if DEBUG
        /// A free slab was never open, so it cannot be sealed.
        @Test func aSlabGoesFromStateToStateByTheTable() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                store.state.slabs.transition(store.geometry.metadataSlabCount, to: .sealed)
            }
        }

        /// What is in limbo may still be read: it has to be free before it is used again.
        @Test func aSlabOfLimboIsNotOpened() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                let slab = store.geometry.metadataSlabCount
                store.state.slabs.make(slab, .limbo)
                store.state.slabs.transition(slab, to: .open)
            }
        }

        @Test func aSlabHasNoFewerThanNoLiveBlocks() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                let slab = store.geometry.metadataSlabCount
                store.state.slabs.addLiveBlocks(slab, 2)
                store.state.slabs.takeLiveBlocks(slab, 3)
            }
        }

        @Test func aPlaceIsWithinItsArray() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                store.state.process.pointee.pins[store.state.slabCount] = 1
            }
        }

        @Test func aReservationIsPublishedOrGivenUp() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                let shape = ItemShape(
                    keyLength: 3, valueLength: 10, clientFlags: 0, expiryMilliseconds: Int64.max)
                let session = try store.makeSession()
                session.begin(now: 1)
                _ = store.state.reserve(shape, now: 1, session.slot)
            }
        }

        @Test func aSlotIsLookedForInALockedBucket() async {
            await #expect(processExitsWith: .failure) {
                let store = try Self.smallStore()
                let bucket = store.state.lockBucket(1)
                bucket.first.unlock()
                _ = store.state.slot(ofBlock: 1, 1, in: bucket)
            }
        }

        /// The same calls as they should be: only the broken ones fail above.
        @Test func whatIsAllowedDoesNotStop() async {
            await #expect(processExitsWith: .success) {
                let store = try Self.smallStore()
                // Not the first of the free ones, which is the next to be opened.
                let slab = store.geometry.slabCount - 2
                for state: SlabState in [.claimed, .runHead, .limbo, .free, .open, .sealed, .limbo, .free, .index] {
                    store.state.slabs.transition(slab, to: state)
                }
                store.state.slabs.addLiveBlocks(slab, 3)
                store.state.slabs.takeLiveBlocks(slab, 3)
                store.state.process.pointee.pins[store.state.slabCount - 1] = 1
                let shape = ItemShape(
                    keyLength: 3, valueLength: 10, clientFlags: 0, expiryMilliseconds: Int64.max)
                let session = try store.makeSession()
                session.begin(now: 1)
                store.state.reserve(shape, now: 1, session.slot)?.giveUp(store.state)
                session.end()
                let bucket = store.state.lockBucket(1)
                _ = store.state.slot(ofBlock: 1, 1, in: bucket)
            }
        }
    #endif
}
