import LarderStore

/// A kind of random sequences for a store and its model: which model, and how little room there is.
package enum ModelKind: String, CaseIterable, Sendable {
    case tiny
    case tinyKeepingAll = "tiny-keeping-all"
    case roomy
    /// uWSGI's two modes: an item has a block, or as many as it needs.
    case singleBlock = "single-block"
    case bitmap

    /// What sequences came to, so that it shows when they are too tame to find anything.
    package struct Activity: Sendable {
        package var evictions: Int64 = 0
        package var itemsMoved: Int64 = 0
        package var expired: Int64 = 0
        package var refusals: Int64 = 0
        package var steps = 0

        package init() {}

        package mutating func add(_ other: Activity) {
            evictions += other.evictions
            itemsMoved += other.itemsMoved
            expired += other.expired
            refusals += other.refusals
            steps += other.steps
        }
    }

    /// One sequence, every invariant checked after each step.
    /// - Returns: what went wrong first, or nil.
    package func run(seed: UInt64, _ activity: inout Activity) throws -> String? {
        let steps = seed % 100 == 0 ? 1000 : 60
        activity.steps += steps
        switch self {
        case .tiny: return try plain(seed, .tiny, steps, &activity)
        case .tinyKeepingAll: return try plain(seed, .tinyKeepingAll, steps, &activity)
        case .roomy: return try plain(seed, .roomy, steps, &activity)
        case .singleBlock: return try limited(seed, isBitmap: false, steps, &activity)
        case .bitmap: return try limited(seed, isBitmap: true, steps, &activity)
        }
    }

    private func plain(
        _ seed: UInt64, _ room: ModelRun.Room, _ steps: Int, _ activity: inout Activity
    ) throws -> String? {
        let run = try ModelRun(seed: seed, room: room, stepsPerCheck: 1)
        let failure = run.run(steps: steps)
        activity.evictions += run.counters.evictions
        activity.itemsMoved += run.counters.itemsMoved
        activity.expired += run.counters.expired
        activity.refusals += run.counters.outOfMemory
        return failure
    }

    private func limited(
        _ seed: UInt64, isBitmap: Bool, _ steps: Int, _ activity: inout Activity
    ) throws -> String? {
        let all = LimitedRun.WhenFull.allCases
        let run = try LimitedRun(seed: seed, all[Int(seed % UInt64(all.count))], isBitmap: isBitmap, stepsPerCheck: 1)
        let failure = run.run(steps: steps)
        activity.refusals += run.full
        return failure
    }

    /// What many sequences of this kind should have met and did not; nil when they did.
    package func tameness(_ activity: Activity) -> String? {
        switch self {
        case .tiny where activity.evictions == 0: "nothing was evicted"
        case .tinyKeepingAll where activity.refusals == 0, .singleBlock where activity.refusals == 0,
            .bitmap where activity.refusals == 0:
            "the store was never full"
        case .tiny where activity.itemsMoved == 0 || activity.expired == 0,
            .tinyKeepingAll where activity.itemsMoved == 0 || activity.expired == 0,
            .roomy where activity.itemsMoved == 0 || activity.expired == 0:
            "nothing was moved, or nothing expired"
        default: nil
        }
    }
}
