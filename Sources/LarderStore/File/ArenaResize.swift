import CLarderArena
import Glibc

/// An arena of another size, open for reading: what it holds is carried over to a new file, which then
/// takes its name. Until then it is not changed, so that a kill in between costs nothing.
final class OldArena: Sendable {
    private let file: ArenaFile
    // SAFETY: a mapping that lives as long as this object, and is only read.
    private nonisolated(unsafe) let base: UnsafeMutableRawPointer
    private let mappedBytes: Int
    let geometry: Geometry
    /// The superblock that was found sound.
    let superblock: larder_superblock
    private let second: larder_superblock?

    init(_ file: ArenaFile, _ geometry: Geometry, _ superblock: larder_superblock) throws(StoreError) {
        self.file = file
        self.geometry = geometry
        self.superblock = superblock
        second = ArenaFile.readSuperblock(file.fd, at: geometry.arenaBytes)
        mappedBytes = min(file.size, geometry.arenaBytes)
        base = try file.map(mappedBytes, writable: false)
    }

    deinit {
        larder_guard_remove(base)
        munmap(base, mappedBytes)
        file.close()
    }

    /// Has processes that read the file in place look for the new one.
    func retire() {
        var epoch = UInt64.max
        if let offset = MemoryLayout<larder_superblock>.offset(of: \.index_epoch) {
            _ = pwrite(file.fd, &epoch, 8, off_t(offset))
        }
    }

    /// Whether the file has the tables, and so may have items.
    private var hasTables: Bool { mappedBytes >= geometry.metadataSlabCount * geometry.slabBytes }
    /// Slabs that the file has to their end.
    var slabsThere: Int { hasTables ? mappedBytes / geometry.slabBytes : 0 }

    /// - Parameter process: of the new arena; a scan does not use it.
    /// - Returns: the arena, until the caller calls `deallocate`.
    func state(_ process: Shared<ProcessState>) -> StoreState {
        StoreState(base: base, geometry: geometry, process: process, hashSeed: superblock.hash_seed)
    }

    func durables() -> (flushSequence: UInt64?, flushAt: UInt64?) {
        var copies = [superblock, second].compactMap { $0 }
        var flushSequence: UInt64?
        var flushAt: UInt64?
        for index in copies.indices.reversed() {
            var value: UInt64 = 0
            if larder_durable_read(&copies[index].flush_sequence, superblock.hash_seed, &value) {
                flushSequence = value
            }
            if larder_durable_read(&copies[index].flush_at_ms, superblock.hash_seed, &value) { flushAt = value }
        }
        return (flushSequence, flushAt)
    }
}

/// Carries the items of one arena over to another: all that fit, and if they do not all fit, those that
/// were found of late, the newest first, and then the others, the newest first.
struct ArenaResize {
    let store: Store
    let old: OldArena
    let now: Int64
    private(set) var report = RecoveryReport()

    /// Of the new arena's slabs for items, how much is filled: the rest is for what lies badly.
    private static let fillPercent = 90
    /// Bytes of the index for an item, a little more than there are.
    private static let indexBytes = 10

    init(_ store: Store, _ old: OldArena, now: Int64) {
        self.store = store
        self.old = old
        self.now = now
    }

    /// What a slab of the old arena has, and what of it is taken along.
    private struct Slab {
        var number: Int
        var sequence: UInt64
        var runSlabs = 0
        var hotBytes = 0
        var coldBytes = 0
        var takesHot = false
        var takesCold = false
    }

    /// - Returns: when a flush is still to fall due; nil when the resize was stopped.
    mutating func run(isStopped: (_ slabsDone: Int) -> Bool) throws(StoreError) -> Int64? {
        let view = old.state(store.state.process)
        defer { view.deallocate() }
        let durables = old.durables()
        let flushAt = durables.flushAt.map { Int64(bitPattern: $0) } ?? Int64.max
        // Without knowing what was flushed nothing can be served.
        guard let flushed = durables.flushSequence, flushAt > now else {
            goOnCounting(from: 0)
            return Int64.max
        }
        let scan = ArenaScan(state: view, flushedSequence: flushed, now: now)
        var slabs = survey(scan)
        choose(&slabs)
        let session = try store.makeSession()
        session.begin(now: now)
        defer { session.end() }
        let superblock = store.state.superblock
        var orderLast: UInt64 = 0
        for slab in slabs.sorted(by: { $0.sequence < $1.sequence }) {
            if isStopped(slab.number) { return nil }
            // New slabs count their items' order from here, as the old one did.
            let base = view.slabs[slab.number].cas_base
            if base < Rebuild.numberMax { superblock.pointee.cas_last = max(superblock.pointee.cas_last, base) }
            forEachItem(scan, slab) { kind, item in
                guard kind == .live else { return note(kind) }
                let imported = Session.ImportedItem(
                    item: item, cas: view.cas(of: item), order: view.order(of: item), expiry: view.expiry(of: item))
                if imported.order < Rebuild.numberMax { orderLast = max(orderLast, imported.order) }
                let isWanted = item.frequency > 0 ? slab.takesHot : slab.takesCold
                if !isWanted || session.adopt(imported, now: now) == .noRoom { report.leftOutItems += 1 }
            }
        }
        goOnCounting(from: orderLast)
        report.items = Int(store.state.itemCount())
        return flushAt
    }

    /// No cas is given out twice, even if the old superblock has lost count.
    private func goOnCounting(from orderLast: UInt64) {
        let bySuperblock = old.superblock.cas_last
        let isSound = bySuperblock >= orderLast && bySuperblock < Rebuild.numberMax
        let last = isSound ? bySuperblock : orderLast + Rebuild.orderMargin
        store.state.superblock.pointee.cas_last = max(store.state.superblock.pointee.cas_last, last)
    }

    private mutating func note(_ kind: ItemImage.Verdict) {
        switch kind {
        case .expired: report.expiredItems += 1
        case .damaged: report.droppedItems += 1
        case .live, .dead, .hole, .pending: break
        }
    }

    /// What there is, by slab.
    private func survey(_ scan: ArenaScan) -> [Slab] {
        var slabs: [Slab] = []
        var number = old.geometry.metadataSlabCount
        while number < old.slabsThere {
            var slab = Slab(number: number, sequence: scan.state.slabs[number].sequence)
            switch scan.role(of: number) {
            case .items: break
            case .run(let count) where number + count <= old.slabsThere: slab.runSlabs = count
            default:
                number += 1
                continue
            }
            forEachItem(scan, slab) { kind, item in
                guard kind == .live else { return }
                if item.frequency > 0 { slab.hotBytes += item.totalBytes + Self.indexBytes }
                if item.frequency == 0 { slab.coldBytes += item.totalBytes + Self.indexBytes }
            }
            slabs.append(slab)
            number += slab.runSlabs > 0 && slab.hotBytes + slab.coldBytes > 0 ? slab.runSlabs : 1
        }
        return slabs
    }

    private func choose(_ slabs: inout [Slab]) {
        let geometry = store.geometry
        var room = (geometry.slabCount - geometry.metadataSlabCount) * geometry.slabBytes / 100 * Self.fillPercent
        let newestFirst = slabs.indices.sorted { slabs[$0].sequence > slabs[$1].sequence }
        for index in newestFirst where slabs[index].hotBytes <= room {
            slabs[index].takesHot = true
            room -= slabs[index].hotBytes
        }
        for index in newestFirst where slabs[index].coldBytes <= room {
            slabs[index].takesCold = true
            room -= slabs[index].coldBytes
        }
    }

    private func forEachItem(_ scan: ArenaScan, _ slab: Slab, _ visit: (ItemImage.Verdict, Item) -> Void) {
        func item(_ block: Int) -> Item { scan.state.item(ofBlock: UInt32(block)) }
        if slab.runSlabs > 0 {
            let start = Int(scan.state.firstBlock(ofSlab: slab.number))
            guard let (kind, _) = scan.run(at: slab.number, slabs: slab.runSlabs) else {
                return visit(.damaged, item(start))
            }
            return visit(kind, item(start))
        }
        scan.forEachItem(in: slab.number) { kind, block, _ in visit(kind, item(block)) }
    }
}
