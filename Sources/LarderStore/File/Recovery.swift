import CLarderArena
import Glibc
import Synchronization

extension Store {
    /// Whether what the file held has been found again, and turns may begin.
    public var isReady: Bool { larder_load_u32(&state.process.pointee.isReady) != 0 }

    /// Finds what the file held; does nothing without a file, or when that is done already.
    ///
    /// Takes some 0.2 s for a million items. To be called by one thread, before any turn begins.
    @discardableResult
    public func recover() -> RecoveryReport {
        guard let file, !isReady else { return recovery }
        let start = monotonicMilliseconds()
        state.lockSpace()
        defer { state.unlockSpace() }
        let now = state.process.pointee.configuration.openedAtMilliseconds ?? wallMilliseconds()
        var report = RecoveryReport()
        switch file.plan {
        case .nothing: Self.fillFreeList(state, geometry)
        case .rebuild:
            let flushAt = readDurables(now: now)
            var rebuild = Rebuild(state, geometry, now: now)
            guard rebuild.run(isStopped: {
                file.slabsJudged.store($0, ordering: .relaxed)
                return file.isStopping.load(ordering: .relaxed)
            }) else { return rebuild.report }
            report = rebuild.report
            state.countRecovered(now: now)
            state.writeFlushTime(flushAt)
        }
        report.notices = file.notices
        report.milliseconds = Int(monotonicMilliseconds() - start)
        file.report.withLock { $0 = report }
        larder_store_u64(&state.process.pointee.nextTickMilliseconds, 0)
        larder_store_u32(&state.process.pointee.isReady, 1)
        return report
    }

    /// What was found in the file; nothing while that is not known.
    public var recovery: RecoveryReport { file?.report.withLock { $0 } ?? RecoveryReport() }

    /// What is to be told of the file; nil without one.
    public var fileStatistics: StoreFileStatistics? {
        guard let file else { return nil }
        let slabs = state.slabCount - geometry.metadataSlabCount
        let done = file.slabsJudged.load(ordering: .relaxed)
        return StoreFileStatistics(
            path: file.file.path, isReady: isReady, recoveredPercent: isReady ? 100 : min(99, done * 100 / slabs),
            recovery: recovery, missingPages: Int(larder_guard_missing_pages()))
    }

    /// Has a recovery that is under way in another thread end early: the store is of no use then.
    public func stopRecovery() { file?.isStopping.store(true, ordering: .relaxed) }

    /// What was flushed, and what is to be. With both superblocks damaged nobody knows, and all counts
    /// as flushed.
    ///
    /// - Returns: when a flush is still to fall due.
    private func readDurables(now: Int64) -> Int64 {
        let superblocks = [state.superblock, state.process.pointee.secondSuperblock].compactMap { $0 }
        func read(_ field: (UnsafeMutablePointer<larder_superblock>) -> UnsafeMutablePointer<larder_durable>?) -> UInt64? {
            for superblock in superblocks {
                var value: UInt64 = 0
                if larder_durable_read(field(superblock), state.hashSeed, &value) { return value }
            }
            return nil
        }
        let written = read(larder_flush_sequence).flatMap { $0 < Rebuild.numberMax ? $0 : nil }
        let flushAt = read(larder_flush_at).map { Int64(bitPattern: $0) } ?? Int64.max
        var flushed = written ?? 0
        if written == nil || flushAt <= now {
            // It fell due while nobody served: all that is there was stored before.
            for slab in 0..<state.slabCount where state.slabs[slab].sequence < Rebuild.numberMax {
                flushed = max(flushed, state.slabs[slab].sequence)
            }
        }
        state.writeFlushSequence(flushed)
        return flushAt <= now ? Int64.max : flushAt
    }

    private func monotonicMilliseconds() -> Int64 { milliseconds(CLOCK_MONOTONIC) }
    private func wallMilliseconds() -> Int64 { milliseconds(CLOCK_REALTIME) }
    private func milliseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }
}
