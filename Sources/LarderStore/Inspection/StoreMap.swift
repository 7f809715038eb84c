import CLarderArena

/// How the slabs of a running store are used.
///
/// It is read without a lock while other threads work, as `Store.statistics` is. So its parts may be of slightly
/// different moments. Items are not read, so time buckets have no number of items here.
package struct StoreMap: Sendable {
    /// In the order of their numbers.
    package private(set) var slabs: [StoreInspection.SlabSummary] = []
    /// In the order of their ends. The bucket without end is the last one.
    package private(set) var timeBuckets: [StoreInspection.TimeBucketSummary] = []

    fileprivate init(_ state: StoreState) {
        slabs.reserveCapacity(state.slabCount)
        var byEnd: [Int64: StoreInspection.TimeBucketSummary] = [:]
        for slab in 0..<state.slabCount {
            let kind = StoreInspection.SlabState(rawValue: Int(state.slabs.state(slab).rawValue)) ?? .unknown
            var summary = StoreInspection.SlabSummary(state: kind)
            defer { slabs.append(summary) }
            guard kind == .open || kind == .sealed || kind == .runHead else { continue }
            let live = Int(state.slabs.liveBlocks(slab))
            // Another thread may reuse the slab meanwhile, so the number in the record may be wrong.
            let count = kind == .runHead ? min(max(1, Int(state.slabs[slab].run_slabs)), state.slabCount) : 1
            summary.liveHundredths = min(100, live * 100 / (state.blocksPerSlab * count))
            guard live > 0 else { continue }
            let end = counted(&state.slabs[slab].expiry_end_ms)
            var bucket = byEnd[end] ?? StoreInspection.TimeBucketSummary(endMilliseconds: end)
            bucket.slabs += count
            bucket.bytes += live << Int(state.blockShift)
            byEnd[end] = bucket
        }
        timeBuckets = byEnd.values.sorted { $0.endMilliseconds < $1.endMilliseconds }
    }
}

extension Store {
    /// How the slabs are used now.
    package var map: StoreMap { StoreMap(state) }
}
