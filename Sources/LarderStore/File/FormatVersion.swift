import CLarderArena
import Glibc

/// The version of a file's format. Older programs cannot read long keys, so the first long key raises it.
extension StoreState {
    /// Raises the version before a long key is written. Any number of threads may do so at the same time, since all of
    /// them store the same numbers.
    ///
    /// A kill between two of the stores leaves one sound superblock at least, and no long key in the file.
    @inline(never)
    func noteLongKey() {
        guard atomicLoad(&process.pointee.hasLongKeys) == 0 else { return }
        if let second = process.pointee.secondSuperblock { raiseVersion(of: second) }
        raiseVersion(of: superblock)
        atomicStore(&process.pointee.hasLongKeys, 1)
    }

    private func raiseVersion(of place: Shared<larder_superblock>) {
        var raised = place.pointee
        raised.version = UInt32(LARDER_ARENA_VERSION_LONG_KEYS)
        // SAFETY: the function reads the struct that it is lent.
        let check = larder_superblock_check(&raised)
        crashPoint()
        atomicStore(&place.pointee.version, raised.version)
        crashPoint()
        atomicStore(&place.pointee.fixed_check, check)
        crashPoint()
    }
}

extension ArenaFile {
    /// How often a superblock is read whose check does not match.
    private static let looksMax = 3

    /// A superblock whose check matches; nil if there is none. Its owner may be raising its version, once in the life of
    /// the file, so it is read again before it counts as damaged.
    static func readSoundSuperblock(_ fd: Int32, at offset: Int) -> larder_superblock? {
        for _ in 0..<looksMax {
            guard var superblock = readSuperblock(fd, at: offset) else { return nil }
            if larder_superblock_check(&superblock) == superblock.fixed_check { return superblock }
        }
        return nil
    }
}
