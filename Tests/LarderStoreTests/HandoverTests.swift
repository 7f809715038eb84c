import CLarderArena
import Glibc
import LarderTesting
import Testing

@testable import LarderStore

/// A store that another one takes over, as the successor of a server does.
@Suite struct HandoverTests {
    private static let sequences = 150

    /// Random operations; the arena changes its store now and then.
    @Test(arguments: ModelRun.Room.allCases, [false, true])
    func sequences(room: ModelRun.Room, isInFile: Bool) throws {
        var count = 0
        for seed in 1...(room == .roomy ? 10 : Self.sequences) {
            let run = try ModelRun(
                seed: UInt64(7_000_000 + seed), room: room, stepsPerCheck: 8,
                file: isInFile ? StoreTestFile() : nil, handsOver: true)
            if isInFile { run.setCrashHook = { $0.state.process.pointee.crashHook = $1 } }
            let failure = run.run(steps: 60)
            try #require(failure == nil, "seed \(seed), \(room)")
            count += run.handoverCount
        }
        #expect(count > 20)
    }

    private func makeStore(_ change: (inout StoreConfiguration) -> Void = { _ in }) throws -> Store {
        var configuration = StoreConfiguration(memoryBytes: 64 << 10, slabBytes: 1024)
        configuration.isTransferable = true
        change(&configuration)
        return try Store(configuration)
    }

    @Test func aStoreWithAnotherSessionIsNotClosed() throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        #expect(store.suspend(forSessions: 0) == nil)
        // It is open as before.
        driver.turn(1) { _ = $0.store(.set, [1], [2], now: 1) }
        #expect(store.suspend(forSessions: 1) != nil)
    }

    @Test func aSessionWithinATurnIsWaitedForInVain() throws {
        let store = try makeStore()
        let driver = try StoreDriver(store)
        driver.session.begin(now: 1)
        #expect(store.suspend(forSessions: 1) == nil)
        driver.session.end()
        #expect(store.suspend(forSessions: 1) != nil)
    }

    @Test func anArenaOfAnotherSizeIsRefused() throws {
        let store = try makeStore()
        let arena = try #require(store.arenaDescriptor)
        #expect(throws: StoreError.self) {
            try makeStore {
                $0.memoryBytes = 128 << 10
                $0.arenaToTakeOver = arena
            }
        }
    }

    @Test func numbersThatAreOutOfRangeAreRefused() throws {
        let store = try makeStore()
        let words = try #require(store.suspend(forSessions: 0)).words
        #expect(store.handover(of: words) != nil)
        #expect(store.handover(of: []) == nil)
        #expect(store.handover(of: Array(words.dropLast())) == nil)
        // A pin of a slab that there is not.
        #expect(store.handover(of: words + [64, 1]) == nil)
        #expect(store.handover(of: words + [63, 1]) != nil)
        #expect(store.handover(of: words + [63]) == nil)
    }

    /// What the former process writes by mistake does not reach the arena.
    @Test func theFormerStoreDoesNotWriteToTheArena() throws {
        let store = try makeStore()
        let closed = try #require(store.suspend(forSessions: 0))
        let arena = try #require(store.arenaDescriptor)
        let next = try makeStore { $0.arenaToTakeOver = dup(arena) }
        #expect(store.giveUp())
        next.takeOver(closed, now: 1)
        store.state.superblock.pointee.cas_last = 4711
        #expect(next.state.superblock.pointee.cas_last != 4711)
    }
}
