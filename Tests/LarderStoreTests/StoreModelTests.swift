import Foundation
import LarderTesting
import Testing

@testable import LarderStore

/// Random operations against a dictionary: a store may lose items when it has to, never change them.
@Suite struct StoreModelTests {
    /// Sequences of each kind, with what only a debug build checks; `make test-model` runs many more.
    /// `LARDER_MODEL_SEQUENCES` raises it, `LARDER_MODEL_SEED` starts elsewhere.
    private static let sequences = setting("LARDER_MODEL_SEQUENCES") ?? 200
    private static let firstSeed = setting("LARDER_MODEL_SEED") ?? 1

    private static func setting(_ name: String) -> Int? {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) }
    }

    @Test(arguments: ModelRun.Room.allCases)
    func shortSequences(room: ModelRun.Room) throws {
        var done = StoreCounters()
        var received = 0
        for seed in Self.firstSeed..<Self.firstSeed + Self.sequences {
            let run = try ModelRun(seed: UInt64(seed), room: room, stepsPerCheck: room == .roomy ? 16 : 1)
            let failure = run.run(steps: 60)
            try #require(failure == nil, "seed \(seed), \(room)")
            done.evictions += run.counters.evictions
            done.itemsMoved += run.counters.itemsMoved
            done.expired += run.counters.expired
            done.outOfMemory += run.counters.outOfMemory
            received += run.incomingCount
        }
        // Or else the sequences are too tame to show anything.
        #expect(done.expired > 0 && done.itemsMoved > 0 && received > 0)
        #expect(room == .tiny ? done.evictions > 0 : done.evictions == 0)
        #expect(room == .tinyKeepingAll ? done.outOfMemory > 0 : done.outOfMemory == 0)
    }

    @Test(arguments: ModelRun.Room.allCases)
    func longSequences(room: ModelRun.Room) throws {
        for seed in Self.firstSeed..<Self.firstSeed + max(1, Self.sequences / 50) {
            let run = try ModelRun(seed: UInt64(1_000_000 + seed), room: room, stepsPerCheck: 16)
            let failure = run.run(steps: 1500)
            try #require(failure == nil, "seed \(seed), \(room)")
        }
    }
}
