import CLarderArena

/// What an item in a file has beside its bytes, so that one that was half written, or damaged, or is
/// left from an earlier life of its slab, is known for it.
///
/// The checksum covers the key, the value and what never changes of the header, and is seeded with the
/// slab's record and the item's place. It leaves out the state byte and the expiry, which change in
/// place. In an anonymous arena there is none, and nothing here costs more than a test of a register.
extension StoreState {
    /// Writes the checksum of an item whose header, key and value are in their place.
    @inline(__always)
    func sign(_ place: Reservation) {
        if checked != 0 { writeChecksum(place.block) }
    }

    /// Takes the mark `pending` off: the item is about to be published, and nothing can refuse it any
    /// more. Under the bucket's lock.
    @inline(__always)
    func settle(_ place: Reservation) {
        guard checked != 0 else { return }
        let field = Item(address(ofBlock: place.block)).stateField
        larder_store_u8(field, larder_load_u8(field) & ~ItemState.pending)
    }

    @inline(never)
    private func writeChecksum(_ block: UInt32) {
        let item = Item(address(ofBlock: block))
        let image = ItemImage(writtenBy: item)
        let checksum = image.checksum(
            of: image.content, in: slabs[slabIndex(ofBlock: block)], hashSeed: hashSeed, block: Int(block))
        item.base.storeBytes(of: checksum, toByteOffset: item.form.checksumOffset, as: UInt32.self)
    }

    // MARK: Numbers that outlive the process. Under the space lock.

    func writeFlushSequence(_ sequence: UInt64) {
        larder_store_u64(&process.pointee.flushedSequence, sequence)
        // The first superblock, then the second, so that one of the two is whole at any instant.
        guard let second = process.pointee.secondSuperblock else { return }
        larder_durable_write(larder_flush_sequence(superblock.pointer), sequence, hashSeed)
        larder_durable_write(larder_flush_sequence(second.pointer), sequence, hashSeed)
    }

    /// - Parameter time: when the flush falls due, `Int64.max` for never.
    func writeFlushTime(_ time: Int64) {
        if let second = process.pointee.secondSuperblock {
            larder_durable_write(larder_flush_at(superblock.pointer), UInt64(bitPattern: time), hashSeed)
            larder_durable_write(larder_flush_at(second.pointer), UInt64(bitPattern: time), hashSeed)
        }
        larder_store_u64(&process.pointee.flushAtMilliseconds, UInt64(bitPattern: time))
    }
}
