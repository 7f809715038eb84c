import CLarderArena

/// Numbers that outlive the process.
extension Space {
    // Under the space lock.

    func writeFlushSequence(_ sequence: UInt64) {
        atomicStore(&process.pointee.flushedSequence, sequence)
        // The first superblock, then the second, so that one of the two is whole at any instant.
        guard let second = process.pointee.secondSuperblock else { return }
        superblock.writeFlushSequence(sequence, state.hashSeed)
        second.writeFlushSequence(sequence, state.hashSeed)
    }

    /// - Parameter time: when the flush falls due, `Int64.max` for never.
    func writeFlushTime(_ time: Int64) {
        if let second = process.pointee.secondSuperblock {
            superblock.writeFlushTime(UInt64(bitPattern: time), state.hashSeed)
            second.writeFlushTime(UInt64(bitPattern: time), state.hashSeed)
        }
        atomicStore(&process.pointee.flushAtMilliseconds, UInt64(bitPattern: time))
    }
}
