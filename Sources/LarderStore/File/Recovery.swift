import CLarderArena
import Glibc
import Synchronization

extension Store {
    /// Whether what the file held has been found again, and turns may begin.
    package var isReady: Bool { atomicLoad(&state.process.pointee.isReady) != 0 }

    /// Finds what the file held; does nothing without a file, or when that is done already.
    ///
    /// Takes some 0.2 s for a million items. To be called by one thread, before any turn begins.
    @discardableResult
    package func recover() -> RecoveryReport {
        guard let file, !isReady, !isTakenOver else { return recovery }
        let start = monotonicMilliseconds()
        let now = state.process.pointee.configuration.openedAtMilliseconds ?? wallMilliseconds()
        guard var report = fill(file, now: now) else { return RecoveryReport() }
        guard report.refusedItems == 0 else {
            file.report.withLock { $0 = report }
            return report
        }
        report.notices = file.notices + report.notices
        report.milliseconds = Int(monotonicMilliseconds() - start)
        report.isComplete = true
        file.report.withLock { $0 = report }
        atomicStore(&state.process.pointee.nextTickMilliseconds, 0)
        atomicStore(&state.process.pointee.isReady, 1)
        return report
    }

    /// Fills the store as the file's plan says; nil when it was stopped.
    private func fill(_ file: StoreFile, now: Int64) -> RecoveryReport? {
        func isStopped(_ slabsDone: Int) -> Bool {
            file.slabsJudged.store(slabsDone, ordering: .relaxed)
            return file.isStopping.load(ordering: .relaxed)
        }
        // A resize stores through a session, which takes the lock when it has to.
        if let old = file.oldArena.withLock({ $0 }) { return resize(old, file, now: now, isStopped) }
        let space = Space(locking: state)
        guard case .rebuild = file.plan else {
            Self.fillFreeList(space, geometry)
            return RecoveryReport()
        }
        let flushAt = readDurables(space, now: now)
        var rebuild = Rebuild(state, geometry, now: now)
        guard rebuild.run(space, isStopped: isStopped) else { return nil }
        var report = rebuild.report
        if rebuild.mendedRecords > 0 {
            report.notices = [
                "\(file.path): \(rebuild.mendedRecords) damaged records of slabs were mended; the items were intact"
            ]
        }
        guard count(&report, now: now) else { return report }
        space.writeFlushTime(flushAt)
        return report
    }

    /// Counts what was found against the limits. False if the file is refused.
    private func count(_ report: inout RecoveryReport, now: Int64) -> Bool {
        let beyond = state.countRecovered(now: now)
        report.items -= beyond
        report.leftOutItems += beyond
        guard let account = state.account, !account.pointee.limits.dropsItemsBeyond else { return true }
        report.refusedItems = report.leftOutItems
        return report.refusedItems == 0
    }

    private func resize(
        _ old: OldArena, _ file: StoreFile, now: Int64, _ isStopped: (Int) -> Bool
    ) -> RecoveryReport? {
        Self.fillFreeList(Space(locking: state), geometry)
        var resizing = ArenaResize(self, old, now: now)
        var report = RecoveryReport()
        do throws(StoreError) {
            guard let flushAt = try resizing.run(isStopped: isStopped) else { return nil }
            report = resizing.report
            let space = Space(locking: state)
            guard count(&report, now: now) else { return report }
            space.writeFlushTime(flushAt)
            try file.takePlace()
        } catch {
            // The old file stays as it is, and this one is served without outliving the process.
            report.notices = ["\(error); what is stored from now on is lost at the end"]
            return report
        }
        let place = file.file.isKept ? "new memory" : "a new file of that name"
        report.notices = [
            "\(file.path) was made for \(old.geometry.arenaBytes >> 20) MB; its items are in \(place)"
        ]
        return report
    }

    /// What was found in the file when the store was opened. It is empty for a store in memory.
    public var recovery: RecoveryReport { file?.report.withLock { $0 } ?? RecoveryReport() }

    /// What is to be told of the file; nil without one.
    package var fileStatistics: StoreFileStatistics? {
        guard let file else { return nil }
        let slabs = state.slabCount - geometry.metadataSlabCount
        let done = file.slabsJudged.load(ordering: .relaxed)
        return StoreFileStatistics(
            path: file.path, isReady: isReady, recoveredPercent: isReady ? 100 : min(99, done * 100 / slabs),
            recovery: recovery, missingPages: Int(larder_guard_missing_pages()))
    }

    /// Has a recovery that is under way in another thread end early: the store is of no use then.
    package func stopRecovery() { file?.isStopping.store(true, ordering: .relaxed) }

    /// What was flushed, and what is to be. With both superblocks damaged nobody knows, and all counts
    /// as flushed.
    ///
    /// - Returns: when a flush is still to fall due.
    private func readDurables(_ space: borrowing Space, now: Int64) -> Int64 {
        let superblocks = [state.superblock, state.process.pointee.secondSuperblock].compactMap { $0 }
        let read = superblocks.compactMap { $0.flushSequence(state.hashSeed) }.first
        let written = read.flatMap { $0 < Rebuild.sequenceMax ? $0 : nil }
        let time = superblocks.compactMap { $0.flushTime(state.hashSeed) }.first
        let flushAt = time.map { Int64(bitPattern: $0) } ?? Int64.max
        var flushed = written ?? 0
        if written == nil || flushAt <= now {
            // It fell due while nobody served: all that is there was stored before.
            for slab in 0..<state.slabCount where state.slabs[slab].sequence < Rebuild.sequenceMax {
                flushed = max(flushed, state.slabs[slab].sequence)
            }
        }
        space.writeFlushSequence(flushed)
        return flushAt <= now ? Int64.max : flushAt
    }

    private func wallMilliseconds() -> Int64 { StoreClock.milliseconds(CLOCK_REALTIME) }
}
