import Glibc

/// Which keys a size-aware store dropped of late: who comes back soon after is asked for more often than it
/// seems. Under the space lock.
///
/// A table of one-byte tags in the process's memory. A key has one place and overwrites who was there, so
/// that old ones go by themselves; one key in 255 is taken for another, which only costs a wrong guess.
struct DroppedKeys {
    /// A tag for so many bytes of the arena: 0.4 % more memory.
    private static let bytesPerTag = 256

    private let tags: UnsafeMutablePointer<UInt8>
    private let mask: UInt64

    /// Nil when there is no memory for it: it is an improvement, and no more.
    init?(arenaBytes: Int) {
        let count = 1 << (Int.bitWidth - 1 - max(1, arenaBytes / Self.bytesPerTag).leadingZeroBitCount)
        // Not initialized by hand: its pages come when first written, and are zero.
        guard let memory = calloc(count, 1) else { return nil }
        tags = memory.bindMemory(to: UInt8.self, capacity: count)
        mask = UInt64(count - 1)
    }

    func deallocate() { free(tags) }

    // SAFETY: the mask keeps the place within the table.
    private func place(_ hash: UInt64) -> UnsafeMutablePointer<UInt8> {
        tags + Int((hash &* 0x9e37_79b9_7f4a_7c15) >> 24 & mask)
    }

    /// Never 0, which is an empty place.
    private func tag(_ hash: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: hash % 255) + 1 }

    func note(_ hash: UInt64) { place(hash).pointee = tag(hash) }

    func contains(_ hash: UInt64) -> Bool { place(hash).pointee == tag(hash) }
}
