import CLarderArena
import Glibc

/// One look for a key in an arena that another process may be writing: docs/reading-in-place.md.
///
/// First the index: a seqlock, whose versions tell that the slot was the key's all the while. Then the
/// item: it is copied, and the copy counts with the right checksum and key, and if its slab has begun no new life
/// meanwhile. The value was the key's at the moment when the index was looked at, which is within the
/// call: so nobody who was told of a later write before the call gets an older value.
///
/// Nothing is written, nothing waited for. No number is used before it was compared with the arena's
/// bounds: the file may be anything at all.
struct InPlaceRead<Source: ArenaSource> {
    let source: Source
    let geometry: Geometry
    let hashSeed: UInt64

    enum Outcome {
        case found(Found)
        case missing
        /// A writer was at it: look again.
        case changing
        /// What is there is no item of this store.
        case damaged
    }

    struct Found {
        var valueLength: Int
        var clientFlags: UInt32
        var cas: UInt64
        var expiry: Int64
        var state: UInt8
    }

    /// What the whole look rests on.
    struct Frame {
        var epoch: UInt64
        var bucketCount: UInt64
        var flushedSequence: UInt64
        var flushAt: Int64
    }

    private enum Slot {
        case offset(Int)
        case missing
        case changing
    }

    static var chainLinesMax: Int { 64 }

    var metadataEnd: Int { geometry.metadataSlabCount << geometry.slabShift }

    /// - Parameter copy: where key and value go, one behind the other.
    @inline(__always)
    func look(
        for key: UnsafeRawBufferPointer, hash: UInt64, now: Int64, _ copy: inout CopyBuffer
    ) -> Outcome {
        guard let frame = frame() else { return .changing }
        // What is due is done by the writer before it stores anything else.
        if frame.flushAt <= now { return .missing }
        switch slot(of: key, hash, frame) {
        case .changing: return .changing
        case .missing: return .missing
        case .offset(let offset): return item(at: offset, key, frame, now, &copy)
        }
    }

    @inline(__always)
    func superblock() -> UnsafePointer<larder_superblock>? {
        source.bytes(at: 0, count: MemoryLayout<larder_superblock>.size, .superblock)?
            .assumingMemoryBound(to: larder_superblock.self)
    }

    @inline(__always)
    func frame() -> Frame? {
        guard let superblock = superblock() else { return nil }
        let epoch = larder_index_epoch(superblock)
        let count = larder_bucket_count(superblock)
        guard epoch & 1 == 0, count > 0, count <= UInt64(geometry.slabCount * geometry.bucketsPerSlab) else {
            return nil
        }
        var frame = Frame(epoch: epoch, bucketCount: count, flushedSequence: 0, flushAt: 0)
        return readFlush(superblock, &frame) ? frame : secondFlush(frame)
    }

    @inline(__always)
    private func readFlush(_ superblock: UnsafePointer<larder_superblock>, _ frame: inout Frame) -> Bool {
        var flushAt: UInt64 = 0
        guard larder_flush_read(superblock, hashSeed, &frame.flushedSequence, &flushAt) else { return false }
        frame.flushAt = Int64(bitPattern: flushAt)
        return true
    }

    /// The superblock behind the arena has the numbers as well.
    @inline(never)
    private func secondFlush(_ frame: Frame) -> Frame? {
        var frame = frame
        guard
            let second = source.bytes(
                at: geometry.arenaBytes, count: MemoryLayout<larder_superblock>.size, .superblock)
        else { return nil }
        return readFlush(second.assumingMemoryBound(to: larder_superblock.self), &frame) ? frame : nil
    }

    // MARK: Index

    @inline(__always)
    private func slot(of key: UnsafeRawBufferPointer, _ hash: UInt64, _ frame: Frame) -> Slot {
        guard let start = bucketOffset(of: hash, frame), let version = version(at: start), version & 1 == 0,
            let bucket = line(at: start)
        else {
            return .changing
        }
        let found = chain(from: start, bucket, key, KeyHash.tag(hash))
        // The last look, at the bucket as it is now.
        guard let again = line(at: start), larder_bucket_unchanged(again, version),
            let superblock = superblock(),
            larder_index_epoch(superblock) == frame.epoch
        else { return .changing }
        // A flush that was due may have been carried out between the two looks at its numbers.
        var last = frame
        if !readFlush(superblock, &last) {
            guard let second = secondFlush(last) else { return .changing }
            last = second
        }
        guard last.flushedSequence == frame.flushedSequence else { return .changing }
        // What is not there may have moved to a bucket that the count did not know of.
        if case .missing = found, larder_bucket_count(superblock) != frame.bucketCount { return .changing }
        return found
    }

    /// The place of the bucket of a hash; nil if the directory has no valid entry for it.
    @inline(__always)
    func bucketOffset(of hash: UInt64, _ frame: Frame) -> Int? {
        let number = StoreState.bucketNumber(hash, count: frame.bucketCount)
        let shift = geometry.slabShift &- 6
        let entry = geometry.directoryOffset &+ (number &>> shift) &* 4
        guard let directory = source.bytes(at: entry, count: 4, .directory) else { return nil }
        let slab = Int(atomicLoad(directory.assumingMemoryBound(to: UInt32.self)))
        guard slab >= geometry.metadataSlabCount, slab < geometry.slabCount else { return nil }
        return slab &<< geometry.slabShift &+ (number & (1 &<< shift &- 1)) &<< 6
    }

    /// Before anything else of the bucket.
    @inline(__always)
    func version(at start: Int) -> UInt32? {
        source.bytes(at: start, count: 4, .directory).map {
            atomicLoad($0.assumingMemoryBound(to: UInt32.self))
        }
    }

    @inline(__always)
    func line(at offset: Int) -> UnsafePointer<larder_bucket>? {
        source.bytes(at: offset, count: 64, .line)?.assumingMemoryBound(to: larder_bucket.self)
    }

    @inline(__always)
    private func chain(
        from start: Int, _ bucket: UnsafePointer<larder_bucket>, _ key: UnsafeRawBufferPointer, _ tag: UInt8
    ) -> Slot {
        let last = UInt32(LARDER_BUCKET_SLOTS) &- 1
        var current = bucket
        for _ in 0..<Self.chainLinesMax {
            var mask = larder_bucket_match(current, tag)
            while mask != 0 {
                let block = larder_bucket_block(
                    current, UInt32(truncatingIfNeeded: mask.trailingZeroBitCount))
                let offset = Int(block) &<< geometry.blockShift
                if keyMatches(key, at: offset) { return .offset(offset) }
                mask &= mask &- 1
            }
            guard larder_bucket_tag(current, last) == UInt8(LARDER_TAG_LINK) else { return .missing }
            let next = Int(larder_bucket_block(current, last)) &<< 6
            guard next >= metadataEnd, next < geometry.arenaBytes, let line = line(at: next) else {
                return .changing
            }
            current = line
        }
        return .changing
    }

    @inline(__always)
    private func keyMatches(_ key: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        guard offset >= metadataEnd, offset < geometry.arenaBytes,
            case let room = min(ArenaPlace.itemBytes, geometry.arenaBytes &- offset),
            let item = source.bytes(at: offset, count: room, .item)
        else { return false }
        let head = larder_load_head(item)
        let form = ItemForm(rawValue: UInt8(truncatingIfNeeded: head))
        // The length of a short key and the bit `longKey`.
        guard head & 0xff_0020 == UInt64(key.count) &<< 16 else {
            return key.count > ItemForm.shortKeyMax && longKeyMatches(key, item, form, at: offset, room)
        }
        guard form.headerBytes &+ key.count <= room, let bytes = key.baseAddress else { return false }
        // SAFETY: within the arena, by the line before. The bytes may be changing: the version tells.
        return memcmp(item + form.headerBytes, bytes, key.count) == 0
    }

    /// As `keyMatches`, for a key whose bytes are not among those that a look at an item takes.
    @inline(never)
    private func longKeyMatches(
        _ key: UnsafeRawBufferPointer, _ item: UnsafeRawPointer, _ form: ItemForm, at offset: Int, _ room: Int
    ) -> Bool {
        guard length(ofLongKey: item, form, room) == key.count, let bytes = key.baseAddress,
            let found = source.longKey(at: offset &+ form.headerBytes, count: key.count, of: geometry)
        else { return false }
        return found.withUnsafeBytes { found in
            guard let start = found.baseAddress else { return false }
            return memcmp(start, bytes, key.count) == 0
        }
    }

    /// The length that an item has for its long key; nil: the item has no long key.
    /// - Parameter room: bytes of the item that may be read.
    func length(ofLongKey item: UnsafeRawPointer, _ form: ItemForm, _ room: Int) -> Int? {
        guard form.contains(.longKey), form.headerBytes <= room else { return nil }
        return Int(item.loadUnaligned(fromByteOffset: form.longKeyOffset, as: UInt16.self))
    }

    // MARK: Item

    @inline(__always)
    private func item(
        at offset: Int, _ key: UnsafeRawBufferPointer, _ frame: Frame, _ now: Int64, _ copy: inout CopyBuffer
    ) -> Outcome {
        let slab = offset &>> geometry.slabShift
        guard var record = record(slab), larder_slab_is_readable(&record) else { return .changing }
        // Flushed: the slot is about to go.
        guard record.sequence > frame.flushedSequence else { return .missing }
        guard let room = room(from: offset, slab, record),
            let bytes = source.bytes(
                at: offset, count: min(ArenaPlace.itemBytes, geometry.arenaBytes &- offset), .item)
        else { return .damaged }
        guard let image = ItemImage(bytes, room: room), image.isCandidate else { return .damaged }
        // The slab may have begun a new life since the index was looked at, before its record was read.
        guard image.keyLength == key.count else { return .changing }
        let verdict = image.verdict(in: record, now: now)
        guard verdict != .dead, verdict != .pending else { return .changing }
        guard let expiry = image.expiry(in: record) else { return .damaged }
        let found = Found(
            valueLength: image.valueLength, clientFlags: image.clientFlags, cas: image.cas(in: record),
            expiry: expiry, state: image.state)
        // A writer may have changed the length in the item since it was compared with the room.
        let length = key.count &+ found.valueLength
        guard image.form.headerBytes &+ length <= room else { return .changing }
        let target = copy.room(length)
        guard source.copy(at: offset &+ image.form.headerBytes, count: length, to: target) else { return .changing }
        let checksum = image.checksum(
            of: target, count: length, in: record, hashSeed: hashSeed, block: offset &>> geometry.blockShift)
        let isWhole = checksum == image.carriedChecksum
        guard isStill(slab, &record) else { return .changing }
        guard isWhole else { return .damaged }
        // As above: a sound item of another key may be here by now.
        guard let bytes = key.baseAddress, memcmp(target, bytes, key.count) == 0 else { return .changing }
        return verdict == .expired ? .missing : .found(found)
    }

    /// Bytes that an item may have at an offset; nil: none can be there.
    @inline(__always)
    private func room(from offset: Int, _ slab: Int, _ record: larder_slab) -> Int? {
        let start = slab &<< geometry.slabShift
        guard record.run_slabs > 1 else { return start &+ geometry.slabBytes &- offset }
        guard offset == start, Int(record.run_slabs) <= geometry.slabCount &- slab else { return nil }
        return Int(record.run_slabs) &<< geometry.slabShift
    }

    @inline(__always)
    func record(_ slab: Int) -> larder_slab? {
        recordBytes(slab).map { larder_slab_read($0) }
    }
    @inline(__always)
    private func isStill(_ slab: Int, _ record: inout larder_slab) -> Bool {
        recordBytes(slab).map { larder_slab_is_still($0, &record) } ?? false
    }
    @inline(__always)
    private func recordBytes(_ slab: Int) -> UnsafePointer<larder_slab>? {
        let size = MemoryLayout<larder_slab>.size
        return source.bytes(at: geometry.slabTableOffset &+ slab &* size, count: size, .record)?
            .assumingMemoryBound(to: larder_slab.self)
    }
}

/// Room for a key and its value that grows to the largest.
struct CopyBuffer {
    private(set) var start: UnsafeMutableRawPointer
    private var capacity: Int

    init() {
        capacity = 4096
        start = .allocate(byteCount: capacity, alignment: 16)
    }

    /// SAFETY: `count` was compared with the arena's size.
    @inline(__always)
    mutating func room(_ count: Int) -> UnsafeMutableRawPointer {
        if count > capacity { grow(to: count) }
        assert(count >= 0 && count <= capacity)
        return start
    }

    private mutating func grow(to count: Int) {
        start.deallocate()
        capacity = max(count, 2 * capacity)
        start = .allocate(byteCount: capacity, alignment: 16)
    }

    func free() { start.deallocate() }
}
