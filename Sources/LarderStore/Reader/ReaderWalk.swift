import CLarderArena

// SAFETY: as in InPlaceRead: no number is used before it was compared with the arena's bounds.

extension StoreReader {
    /// A lower bound: an item with a checksum takes up more.
    private static let itemBytesMin = 8

    /// Copies of all keys in the store, in no order; nil: the file cannot be read at the moment.
    ///
    /// A key that exists during the whole walk is among them exactly once. Expired keys may be among them.
    package mutating func keys(now: Int64) -> [[UInt8]]? {
        if isCheckDue(now) { checkFile(now) }
        guard let view else { return nil }
        let keys =
            if let base = view.base {
                keys(InPlaceRead(source: MappedSource(base: base), geometry: view.geometry, hashSeed: view.hashSeed))
            } else {
                keys(
                    InPlaceRead(
                        source: DescriptorSource(fd: view.fd, scratch: scratch), geometry: view.geometry,
                        hashSeed: view.hashSeed))
            }
        // A page that went missing meanwhile reads as zeros, like an empty bucket.
        guard let keys, view.isWhole else {
            checkedMilliseconds = Int64.min
            return nil
        }
        return keys
    }

    private func keys<Source: ArenaSource>(_ read: InPlaceRead<Source>) -> [[UInt8]]? {
        var walk = ItemWalk()
        var keys: [[UInt8]] = []
        while !walk.isComplete {
            var looks = 0
            while !read.nextKeys(&walk, into: &keys) {
                looks += 1
                guard looks < Self.looksMax else { return nil }
                larder_pause()
            }
            // More keys than the arena has room for: chains of a damaged file may lead into each other.
            guard keys.count <= read.geometry.arenaBytes / Self.itemBytesMin else { return nil }
        }
        return keys
    }
}

extension InPlaceRead {
    /// Steps over one bucket of the index and appends the keys in it.
    /// - Returns: false if a writer changed the bucket meanwhile. No key was appended then.
    fileprivate func nextKeys(_ walk: inout ItemWalk, into keys: inout [[UInt8]]) -> Bool {
        guard let frame = frame(), let start = bucketOffset(of: walk.hash, frame) else { return false }
        let before = keys.count
        guard let version = version(at: start), version & 1 == 0, appendKeys(at: start, frame, &keys),
            let again = line(at: start), larder_bucket_unchanged(again, version), let superblock = superblock(),
            larder_index_epoch(superblock) == frame.epoch, larder_bucket_count(superblock) == frame.bucketCount
        else {
            keys.removeLast(keys.count - before)
            return false
        }
        let number = StoreState.bucketNumber(walk.hash, count: frame.bucketCount)
        walk.advance(overBits: StoreState.hashBits(ofBucket: number, count: frame.bucketCount))
        return true
    }

    /// Appends the keys of a bucket and its overflow lines; false if the lines are no valid chain.
    private func appendKeys(at start: Int, _ frame: Frame, _ keys: inout [[UInt8]]) -> Bool {
        var place = start
        for _ in 0..<Self.chainLinesMax {
            var next: Int?
            for slot in 0..<UInt32(LARDER_BUCKET_SLOTS) {
                // The line is copied again for each slot, because reading a key may overwrite the copy.
                guard let line = line(at: place) else { return false }
                let tag = larder_bucket_tag(line, slot)
                let block = larder_bucket_block(line, slot)
                if tag == UInt8(LARDER_TAG_EMPTY) { continue }
                if tag == UInt8(LARDER_TAG_LINK) {
                    next = Int(block) &<< 6
                } else if let key = key(at: Int(block) &<< geometry.blockShift, frame) {
                    keys.append(key)
                }
            }
            guard let next else { return true }
            guard next >= metadataEnd, next < geometry.arenaBytes else { return false }
            place = next
        }
        return false
    }

    /// A copy of the key of an item that was not flushed. The bytes may change meanwhile: the caller compares the
    /// bucket's version afterwards.
    private func key(at offset: Int, _ frame: Frame) -> [UInt8]? {
        guard offset >= metadataEnd, offset < geometry.arenaBytes,
            let record = record(offset &>> geometry.slabShift), record.sequence > frame.flushedSequence,
            case let room = min(ArenaPlace.itemBytes, geometry.arenaBytes &- offset),
            room >= 8, let item = source.bytes(at: offset, count: room, .item)
        else { return nil }
        let head = larder_load_head(item)
        let form = ItemForm(rawValue: UInt8(truncatingIfNeeded: head))
        if let length = length(ofLongKey: item, form, room) {
            return source.longKey(at: offset &+ form.headerBytes, count: length, of: geometry)
        }
        let length = Int(head >> 16 & 0xff)
        guard length > 0, form.headerBytes &+ length <= room else { return nil }
        return Array(UnsafeRawBufferPointer(start: item + form.headerBytes, count: length))
    }
}
