import CLarderArena

/// The use of a slab: `larder_slab.state`. A damaged file may have any other number, which is none of these.
struct SlabState: Equatable {
    let rawValue: UInt32

    @inline(__always)
    init(rawValue: UInt32) { self.rawValue = rawValue }
    @inline(__always)
    private init(_ state: larder_slab_state) { rawValue = UInt32(state.rawValue) }

    @inline(__always) static var free: SlabState { SlabState(LARDER_SLAB_FREE) }
    @inline(__always) static var open: SlabState { SlabState(LARDER_SLAB_OPEN) }
    @inline(__always) static var sealed: SlabState { SlabState(LARDER_SLAB_SEALED) }
    @inline(__always) static var runHead: SlabState { SlabState(LARDER_SLAB_RUN_HEAD) }
    @inline(__always) static var runTail: SlabState { SlabState(LARDER_SLAB_RUN_TAIL) }
    @inline(__always) static var limbo: SlabState { SlabState(LARDER_SLAB_LIMBO) }
    @inline(__always) static var index: SlabState { SlabState(LARDER_SLAB_INDEX) }
    @inline(__always) static var metadata: SlabState { SlabState(LARDER_SLAB_METADATA) }
    @inline(__always) static var claimed: SlabState { SlabState(LARDER_SLAB_CLAIMED) }

    /// The states that a slab may have before it comes to this one, while its store is open.
    ///
    /// | from | to |
    /// | --- | --- |
    /// | free | open, claimed, index |
    /// | open | sealed |
    /// | sealed | limbo |
    /// | claimed | run head, run tail, index, free; claimed again when a run's record is written |
    /// | run head, run tail | limbo |
    /// | limbo | free |
    ///
    /// The index and the metadata keep their slabs. A new arena and a recovery do not change states but make them:
    /// `SlabTable.make`.
    var predecessors: [SlabState] {
        switch self {
        case .free: [.limbo, .claimed]
        case .open: [.free]
        case .sealed: [.open]
        case .limbo: [.sealed, .runHead, .runTail]
        case .claimed: [.free, .claimed]
        case .runHead, .runTail: [.claimed]
        case .index: [.free, .claimed]
        default: []
        }
    }
}

extension larder_slab {
    /// Of a copy of a record.
    @inline(__always)
    var slabState: SlabState { SlabState(rawValue: state) }
}

/// The slab table of an arena. States are changed under the space lock, and read without it.
///
/// SAFETY: slab numbers are within the table: they come from lists that are kept beside the arena, from loops over the
/// table, and from block numbers within the arena.
@safe struct SlabTable {
    private let records: UnsafeMutablePointer<larder_slab>

    init(_ records: UnsafeMutablePointer<larder_slab>) { self.records = records }

    @inline(__always)
    subscript(slab: Int) -> larder_slab {
        @inline(__always) unsafeAddress { UnsafePointer(records + slab) }
        @inline(__always) nonmutating unsafeMutableAddress { records + slab }
    }

    /// A slab's record in its place.
    @inline(__always)
    func record(_ slab: Int) -> Shared<larder_slab> { Shared(records + slab) }

    // MARK: State

    @inline(__always)
    func state(_ slab: Int) -> SlabState { SlabState(rawValue: atomicLoad(&self[slab].state)) }

    /// Changes a slab's state, with everything that was written to its record before. Under the space lock.
    @inline(__always)
    func transition(_ slab: Int, to next: SlabState) {
        assert(
            next.predecessors.contains(state(slab)),
            "slab \(slab) goes from state \(state(slab).rawValue) to \(next.rawValue)")
        atomicStore(&self[slab].state, next.rawValue)
    }

    /// Writes a slab's state without a check of the former one: in a new arena, and during recovery.
    func make(_ slab: Int, _ state: SlabState) { atomicStore(&self[slab].state, state.rawValue) }

    // MARK: Blocks of live items

    @inline(__always)
    func liveBlocks(_ slab: Int) -> UInt32 { atomicLoad(&self[slab].live_blocks) }

    @inline(__always)
    func addLiveBlocks(_ slab: Int, _ count: Int) {
        _ = atomicAdd(&self[slab].live_blocks, UInt32(truncatingIfNeeded: count))
    }

    @inline(__always)
    func takeLiveBlocks(_ slab: Int, _ count: Int) {
        let before = atomicAdd(&self[slab].live_blocks, 0 &- UInt32(truncatingIfNeeded: count))
        assert(Int(before) >= count, "slab \(slab) loses \(count) live blocks of \(before)")
    }

    @inline(__always)
    func setLiveBlocks(_ slab: Int, _ count: Int) {
        atomicStore(&self[slab].live_blocks, UInt32(truncatingIfNeeded: count))
    }
}
