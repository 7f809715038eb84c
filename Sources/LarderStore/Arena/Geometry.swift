/// How an arena is cut up: computed once from its size, then written in its superblock.
///
/// Slab numbers are offsets shifted right by `slabShift`, block numbers offsets shifted right by
/// `blockShift`, so neither needs a base. The first slabs hold the metadata; block 0 is the
/// superblock's and stands for "none".
struct Geometry: Equatable, Sendable {
    let arenaBytes: Int
    let blockShift: Int
    let slabShift: Int
    let slabCount: Int
    let metadataSlabCount: Int
    let slabTableOffset: Int
    let directoryOffset: Int

    var slabBytes: Int { 1 << slabShift }
    var blocksPerSlab: Int { 1 << (slabShift - blockShift) }
    var bucketsPerSlab: Int { slabBytes / 64 }

    /// The smallest arena that still has room to work in, in slabs.
    static let slabCountMin = 12
    /// A page; the superblock has one to itself.
    private static let superblockBytes = 4096
    private static let slabRecordBytes = 64

    /// - Parameters:
    ///   - memoryBytes: the whole of it: index and tables are inside.
    ///   - slabBytes: a power of two, or nil to choose: some hundreds of slabs, small enough that
    ///     emptying one takes a fraction of a millisecond.
    init(memoryBytes: Int, slabBytes: Int?) throws(StoreError) {
        guard memoryBytes >= 64 << 10, memoryBytes <= 1 << 38 else {
            throw .memoryOutOfRange(bytes: memoryBytes)
        }
        let chosen = slabBytes ?? Self.floorPowerOfTwo(max(16 << 10, min(256 << 10, memoryBytes / 512)))
        guard chosen >= 1024, chosen <= 1 << 26, chosen & (chosen - 1) == 0 else {
            throw .slabBytesOutOfRange(bytes: chosen)
        }
        // Block numbers are 32 bits: blocks of 8 bytes reach 32 GiB, larger arenas get larger ones.
        var shift = 3
        while memoryBytes >> shift >= 1 << 32 { shift += 1 }

        blockShift = shift
        slabShift = chosen.trailingZeroBitCount
        guard slabShift - shift >= 6 else { throw .slabBytesOutOfRange(bytes: chosen) }
        slabCount = memoryBytes / chosen
        guard slabCount >= Self.slabCountMin else { throw .memoryOutOfRange(bytes: memoryBytes) }
        arenaBytes = slabCount * chosen
        slabTableOffset = Self.superblockBytes
        directoryOffset = slabTableOffset + slabCount * Self.slabRecordBytes
        let directoryEnd = directoryOffset + slabCount * 4
        metadataSlabCount = (directoryEnd + chosen - 1) / chosen
        guard slabCount - metadataSlabCount >= 8 else { throw .memoryOutOfRange(bytes: memoryBytes) }
    }

    private static func floorPowerOfTwo(_ value: Int) -> Int {
        1 << (Int.bitWidth - 1 - value.leadingZeroBitCount)
    }
}
