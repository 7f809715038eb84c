import CLarderArena
import Glibc

/// Goes through a file's slabs and then its index, and holds each against the other.
struct FileCheck {
    let fd: Int32
    let geometry: Geometry
    let superblock: larder_superblock
    var inspection: StoreInspection
    let flushedSequence: UInt64

    /// Live items in the order of their blocks, with what the index should say of them.
    private var blocks: [UInt32] = []
    private var hashes: [UInt64] = []
    private var isReached: [Bool] = []
    /// Slabs whose items were flushed. Slots may still lead to them.
    private var flushedSlabs: Set<Int> = []
    /// The lines of slabs that are the index's.
    private var indexSlabs: [Int: [UInt8]] = [:]
    private var bucketsByEnd: [Int64: StoreInspection.TimeBucketSummary] = [:]
    /// Slabs that changed hands while they were copied.
    private var changedSlabs = 0
    private var inFlight = 0

    private static let copiesMax = 3
    private static let wrongSlabsMax = 4

    init(fd: Int32, geometry: Geometry, superblock: larder_superblock, inspection: StoreInspection) {
        self.fd = fd
        self.geometry = geometry
        self.superblock = superblock
        self.inspection = inspection
        var copy = superblock
        var sequence: UInt64 = 0
        let isKnown = larder_durable_read(larder_flush_sequence(&copy), superblock.hash_seed, &sequence)
        flushedSequence = isKnown ? sequence : 0
        if !isKnown { self.inspection.found.add("the number of the last flush is damaged") }
    }

    /// A process may be changing what is looked at.
    private var isOwned: Bool {
        if case .process = inspection.owner { return true }
        return false
    }
    /// The index and the counts are right only in a file that was closed.
    private var isClosed: Bool { inspection.owner == .nobody }

    mutating func run() {
        var slab = 0
        while slab < geometry.slabCount { slab += look(at: slab) }
        inspection.timeBuckets = bucketsByEnd.values.sorted { $0.endMilliseconds < $1.endMilliseconds }
        checkIndex()
        if changedSlabs > 0 {
            inspection.notes.append("\(changedSlabs) slabs were filled anew while they were looked at")
        }
        if inFlight > 0 {
            inspection.notes.append(
                isOwned
                    ? "\(inFlight) things changed while they were looked at"
                    : "\(inFlight) things were left unfinished by a kill; the next start sees to them")
        }
    }

    // MARK: Slabs

    private func read(_ offset: Int, _ count: Int) -> [UInt8]? {
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, done in
            while done < count {
                let got = pread(
                    fd, buffer.baseAddress.unsafelyUnwrapped + done, count - done, off_t(offset + done))
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { break }
                done += got
            }
        }
        return bytes.count == count ? bytes : nil
    }

    private func record(_ slab: Int) -> larder_slab? {
        let size = MemoryLayout<larder_slab>.size
        return read(geometry.slabTableOffset + slab * size, size).map { bytes in
            bytes.withUnsafeBytes { $0.loadUnaligned(as: larder_slab.self) }
        }
    }

    /// Looks at a slab, or a run of slabs, and returns how many that were.
    private mutating func look(at slab: Int) -> Int {
        for attempt in 1...Self.copiesMax {
            guard let record = record(slab) else {
                inspection.slabs.append(.init(state: .unknown))
                inspection.found.add("the record of slab \(slab) cannot be read")
                return 1
            }
            let count = span(slab, record)
            let start = slab << geometry.slabShift
            let holdsItems = slab >= geometry.metadataSlabCount && isReadable(record) && count > 0
            let isIndex = record.slabState == .index
            guard holdsItems || isIndex else {
                note(slab, record)
                return 1
            }
            guard let bytes = read(start, max(1, count) << geometry.slabShift) else {
                note(slab, record)
                inspection.found.add("slab \(slab) cannot be read")
                return 1
            }
            // Whoever changed its state or its life meanwhile gave us two halves.
            guard let again = self.record(slab), again.sequence == record.sequence,
                again.slabState == record.slabState || isReadable(again)
            else {
                if attempt < Self.copiesMax { continue }
                changedSlabs += 1
                note(slab, record)
                return 1
            }
            if isIndex {
                indexSlabs[slab] = bytes
                note(slab, record)
                return 1
            }
            return judge(slab, record, count, bytes)
        }
        return 1
    }

    private func isReadable(_ record: larder_slab) -> Bool {
        var record = record
        return larder_slab_is_readable(&record)
    }

    /// Slabs that a record speaks for; 0 when it cannot be right.
    private func span(_ slab: Int, _ record: larder_slab) -> Int {
        guard record.slabState == .runHead || record.slabState == .claimed
        else {
            return Int(record.cursor_blocks) <= geometry.blocksPerSlab ? 1 : 0
        }
        let count = Int(record.run_slabs)
        return count > 1 && count <= geometry.slabCount - slab ? count : 0
    }

    private mutating func note(_ slab: Int, _ record: larder_slab) {
        let state = StoreInspection.SlabState(rawValue: Int(record.state)) ?? .unknown
        inspection.slabs.append(.init(state: state))
        if state == .unknown {
            inspection.found.add("slab \(slab) has the state \(record.state), which there is not")
        }
        if (state == .metadata) != (slab < geometry.metadataSlabCount) {
            inspection.found.add(
                "slab \(slab) of state \(state) is \(state == .metadata ? "no" : "a") slab of metadata")
        }
        if [.open, .sealed, .runHead].contains(state), span(slab, record) == 0 {
            inspection.found.add("slab \(slab) goes beyond its end")
        }
        if state == .runTail, !isOwned { inspection.found.add("slab \(slab) is the tail of no run") }
    }

    private mutating func judge(_ slab: Int, _ record: larder_slab, _ count: Int, _ bytes: [UInt8]) -> Int {
        let isFlushed = record.sequence <= flushedSequence
        if isFlushed { flushedSlabs.insert(slab) }
        var liveBlocks = 0
        var isDamaged = false
        let before = inspection.items.live
        forEachItem(in: bytes, slab, record, slabs: count) { verdict, block, count, image in
            switch verdict {
            case .dead, .hole: inspection.items.dead += 1
            case .pending: noteUnfinished(block)
            case .damaged:
                // At the end of an open slab an item was being written.
                let isWrittenTo = record.slabState == .open || record.slabState == .claimed
                if isWrittenTo, image == nil, block + count == end(of: slab, record, bytes) {
                    noteUnfinished(block)
                    break
                }
                isDamaged = true
                inspection.found.add("blocks \(block)..<\(block + count) of slab \(slab): no item that is whole")
            case .live, .expired:
                liveBlocks += count
                guard !isFlushed, let image else { break }
                if verdict == .expired { inspection.items.expired += 1 } else { inspection.items.live += 1 }
                inspection.items.liveBytes += count << geometry.blockShift
                inspection.items.contentBytes += image.contentBytes
                blocks.append(UInt32(truncatingIfNeeded: block))
                hashes.append(image.keyHash(seed: superblock.hash_seed))
            }
        }
        if isClosed, !isFlushed, !isDamaged, liveBlocks != Int(record.live_blocks) {
            inspection.found.add(
                "slab \(slab) counts \(record.live_blocks) live blocks and has \(liveBlocks)")
        }
        let state = StoreInspection.SlabState(rawValue: Int(record.state)) ?? .unknown
        let hundredths = liveBlocks * 100 / (count * geometry.blocksPerSlab)
        inspection.slabs.append(.init(state: state, liveHundredths: hundredths))
        for tail in slab + 1..<max(slab + 1, slab + count) {
            noteTail(tail, of: slab, liveHundredths: hundredths)
        }
        var bucket = bucketsByEnd[record.expiry_end_ms] ?? .init(endMilliseconds: record.expiry_end_ms)
        bucket.slabs += count
        bucket.items += inspection.items.live - before
        bucket.bytes += liveBlocks << geometry.blockShift
        bucketsByEnd[record.expiry_end_ms] = bucket
        return count
    }

    private mutating func noteUnfinished(_ block: Int) {
        inspection.items.unfinished += 1
        if isClosed {
            inspection.found.add("block \(block): an item that was never finished")
        } else {
            inFlight += 1
        }
    }

    /// The block behind those that items may cover in the copy of a slab.
    private func end(of slab: Int, _ record: larder_slab, _ bytes: [UInt8]) -> Int {
        let first = slab << (geometry.slabShift - geometry.blockShift)
        let isRun = bytes.count > geometry.slabBytes
        return first + (isRun ? bytes.count >> geometry.blockShift : Int(record.cursor_blocks))
    }

    private func forEachItem(
        in bytes: [UInt8], _ slab: Int, _ record: larder_slab, slabs: Int,
        _ visit: (ItemImage.Verdict, _ block: Int, _ blockCount: Int, ItemImage?) -> Void
    ) {
        let first = slab << (geometry.slabShift - geometry.blockShift)
        let blockCount = end(of: slab, record, bytes) - first
        bytes.withUnsafeBytes { bytes in
            // SAFETY: all that the image may read lies in `bytes`, which is not empty.
            let image = SlabImage(
                start: bytes.baseAddress.unsafelyUnwrapped, record: record, firstBlock: first, blockCount: blockCount,
                blockShift: geometry.blockShift, hashSeed: superblock.hash_seed, now: inspection.nowMilliseconds)
            guard slabs > 1 else {
                return image.forEachItem(wrongBytesMax: Self.wrongSlabsMax << geometry.slabShift, visit)
            }
            let run = image.run(slabs: slabs)
            visit(run?.verdict ?? .damaged, first, run?.blockCount ?? blockCount, run?.image)
        }
    }

    private mutating func noteTail(_ tail: Int, of head: Int, liveHundredths: Int) {
        inspection.slabs.append(.init(state: .runTail, liveHundredths: liveHundredths))
        guard !isOwned, let record = record(tail) else { return }
        let isTail = record.slabState == .runTail || record.slabState == .claimed
        if !isTail || Int(record.run_slabs) != tail - head {
            inspection.found.add("slab \(tail) is not the tail of run \(head)")
        }
    }

    // MARK: Index

    private mutating func checkIndex() {
        let count = Int(truncatingIfNeeded: superblock.bucket_count)
        guard superblock.index_epoch & 1 == 0 else {
            inspection.notes.append("the index is being made anew: it was not looked at")
            return
        }
        guard count > 0, count <= geometry.slabCount * geometry.bucketsPerSlab,
            let directory = read(geometry.directoryOffset, geometry.slabCount * 4)
        else {
            inspection.found.add("the index has \(superblock.bucket_count) buckets, which cannot be")
            return
        }
        isReached = Array(repeating: false, count: blocks.count)
        inspection.index.buckets = count
        for bucket in 0..<count { checkChain(bucket, directory, count: UInt64(count)) }
        for (place, reached) in isReached.enumerated() where !reached {
            if isClosed {
                inspection.found.add("block \(blocks[place]): an item that the index does not know")
            } else {
                inFlight += 1
            }
        }
    }

    private func line(_ number: Int) -> larder_bucket? {
        let slab = number >> (geometry.slabShift - 6)
        guard let bytes = indexSlabs[slab] else { return nil }
        return bytes.withUnsafeBytes {
            $0.loadUnaligned(
                fromByteOffset: (number & (geometry.bucketsPerSlab - 1)) << 6, as: larder_bucket.self)
        }
    }

    private mutating func checkChain(_ bucket: Int, _ directory: [UInt8], count: UInt64) {
        let shift = geometry.slabShift - 6
        let slab = Int(
            directory.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: (bucket >> shift) * 4, as: UInt32.self)
            })
        guard slab < geometry.slabCount else {
            return wrong("bucket \(bucket) is in slab \(slab), which there is not")
        }
        var number = slab << shift + bucket & (1 << shift - 1)
        var lines = 0
        var met: [UInt64] = []
        while true {
            guard var line = line(number) else {
                return wrong("bucket \(bucket): line \(number) is none of the index")
            }
            lines += 1
            guard lines <= 64 else { return wrong("bucket \(bucket): its chain does not end") }
            if lines == 1, line.version & 1 == 1 {
                if isClosed { inspection.found.add("bucket \(bucket) is locked") } else { inFlight += 1 }
            }
            var next: Int?
            for slot in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                let tag = larder_bucket_tag(&line, slot)
                let block = larder_bucket_block(&line, slot)
                inspection.index.slots += 1
                if tag == UInt8(LARDER_TAG_EMPTY) { continue }
                if tag == UInt8(LARDER_TAG_LINK), slot == UInt32(LARDER_BUCKET_SLOTS) - 1 {
                    next = Int(block)
                    continue
                }
                inspection.index.usedSlots += 1
                checkSlot(bucket, block, tag, count, &met)
            }
            guard let following = next else { break }
            number = following
        }
        while inspection.index.chainsByLines.count < lines { inspection.index.chainsByLines.append(0) }
        inspection.index.chainsByLines[lines - 1] += 1
    }

    private mutating func checkSlot(
        _ bucket: Int, _ block: UInt32, _ tag: UInt8, _ count: UInt64, _ met: inout [UInt64]
    ) {
        guard let place = place(of: block) else {
            // A flush takes its items out of the index bit by bit.
            if flushedSlabs.contains(Int(block) >> (geometry.slabShift - geometry.blockShift)) {
                inspection.index.usedSlots -= 1
                return
            }
            return wrong("bucket \(bucket): no live item is at block \(block)")
        }
        let hash = hashes[place]
        if StoreState.bucketNumber(hash, count: count) != bucket || KeyHash.tag(hash) != tag {
            return wrong("bucket \(bucket): the item at block \(block) belongs elsewhere")
        }
        if isReached[place] { return wrong("bucket \(bucket): block \(block) is there twice") }
        isReached[place] = true
        if met.contains(hash) { wrong("bucket \(bucket): two items of one key") }
        met.append(hash)
    }

    /// What a closed file must not have, and others have in passing.
    private mutating func wrong(_ text: String) {
        if isClosed { inspection.found.add(text) } else { inFlight += 1 }
    }

    private func place(of block: UInt32) -> Int? {
        var low = 0
        var high = blocks.count
        while low < high {
            let middle = (low + high) / 2
            if blocks[middle] < block { low = middle + 1 } else { high = middle }
        }
        return low < blocks.count && blocks[low] == block ? low : nil
    }
}
