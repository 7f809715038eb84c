/// The layout of a dump, uWSGI's copy of a whole cache:
///
/// ```
/// header   111, body length in 2 bytes, 7; a dictionary with `items` and `blocksize` in decimal digits
/// records  one for each of `items` slots: 11 numbers of 8 bytes, then the key, padded with zeros to `keysize`
/// blocks   `blocks` of `blocksize` bytes each; a value begins with the record's first block
/// ```
///
/// Slot 0 is not used. The header does not tell `keysize` and `blocks`: both sides must have the same.
package struct DumpLayout: Equatable, Sendable {
    /// The number of slots.
    package let items: Int
    package let blockBytes: Int
    package let blocks: Int
    package let keyBytesMax: Int
    /// Whether a value may take several blocks.
    package let isBitmap: Bool

    /// - Parameters:
    ///   - items: 1 to 2^32, as `blocks`.
    ///   - blockBytes: 1 to 2^30.
    ///   - keyBytesMax: 1 to 65,535.
    package init(items: Int, blockBytes: Int, blocks: Int, keyBytesMax: Int, isBitmap: Bool) {
        self.items = items
        self.blockBytes = blockBytes
        self.blocks = blocks
        self.keyBytesMax = keyBytesMax
        self.isBitmap = isBitmap
    }

    /// Bytes of one record.
    package var recordLength: Int { DumpRecord.fieldsLength &+ keyBytesMax }
    /// Bytes of all records.
    package var recordsLength: Int { recordLength &* items }
    /// Bytes of all blocks.
    package var dataLength: Int { blockBytes &* blocks }

    /// The blocks that a value takes. An empty one takes one, as every item of uWSGI does.
    package func blockCount(ofValueLength length: Int) -> Int {
        isBitmap ? max(1, (length &+ blockBytes &- 1) / blockBytes) : 1
    }

    /// Whether a record may be that of a free slot. After a delete uWSGI leaves the block, the neighbours in the order of
    /// use and the key's bytes as they were.
    func allowsFree(_ record: DumpRecord) -> Bool {
        var free = DumpRecord()
        (free.firstBlock, free.previousUsed, free.nextUsed) = (record.firstBlock, record.previousUsed, record.nextUsed)
        let slots = UInt64(items)
        return record == free && record.firstBlock < UInt64(blocks) && record.previousUsed < slots
            && record.nextUsed < slots
    }

    /// Whether a record may be in a dump of this layout.
    func allows(_ record: DumpRecord) -> Bool {
        guard record.keyLength <= UInt64(keyBytesMax), record.firstBlock < UInt64(blocks) else { return false }
        // Neither number is negative, and the product is below 2^63.
        let room = isBitmap ? (blocks &- Int(record.firstBlock)) &* blockBytes : blockBytes
        return record.valueLength <= UInt64(room)
    }
}

/// The numbers of one record of a dump, little endian and in this order.
package struct DumpRecord: Equatable, Sendable {
    /// Bytes of the numbers, in front of the key.
    package static let fieldsLength = 88
    /// The bit of `flags` of an item that no client gets.
    static let ungettable: UInt64 = 1

    /// uWSGI's flags. It ignores the upper half, which has the client flags of memcached.
    package var flags: UInt64 = 0
    /// 0: the slot is free.
    package var keyLength: UInt64 = 0
    package var hash: UInt64 = 0
    package var valueLength: UInt64 = 0
    package var firstBlock: UInt64 = 0
    /// Unix time, or relative in a cache with `purge_lru`; 0: never.
    package var expires: UInt64 = 0
    package var hits: UInt64 = 0
    /// The slots of the neighbours among those whose hashes leave the same remainder; 0: none.
    package var previous: UInt64 = 0
    package var next: UInt64 = 0
    /// The slots of the neighbours in the order of use, of a cache with `purge_lru`; 0: none.
    package var previousUsed: UInt64 = 0
    package var nextUsed: UInt64 = 0

    /// A record of a free slot.
    package init() {}

    /// Reads the numbers.
    /// - Parameter bytes: at least `fieldsLength`.
    package init(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Self.fieldsLength, "a record is shorter than its numbers")
        func number(_ place: Int) -> UInt64 {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: place &* 8, as: UInt64.self))
        }
        (flags, keyLength, hash, valueLength) = (number(0), number(1), number(2), number(3))
        (firstBlock, expires, hits) = (number(4), number(5), number(6))
        (previous, next, previousUsed, nextUsed) = (number(7), number(8), number(9), number(10))
    }

    /// Writes the numbers.
    /// - Parameter bytes: at least `fieldsLength`.
    package func write(to bytes: UnsafeMutableRawBufferPointer) {
        precondition(bytes.count >= Self.fieldsLength, "a record has no room for its numbers")
        let numbers = [
            flags, keyLength, hash, valueLength, firstBlock, expires, hits, previous, next, previousUsed, nextUsed,
        ]
        for (place, number) in numbers.enumerated() {
            bytes.storeBytes(of: number.littleEndian, toByteOffset: place &* 8, as: UInt64.self)
        }
    }
}

/// The packet that asks for a dump, and the header of the answer.
package enum DumpPacket {
    /// modifier2 of the request: its body is the name of the cache.
    package static let requestModifier: UInt8 = 6
    private static let answerModifier: UInt8 = 7

    /// Asks for the dump of a cache; empty: the first one.
    package static func request(cacheName: String) -> [UInt8] {
        header(bodyLength: cacheName.utf8.count, requestModifier) + Array(cacheName.utf8)
    }

    /// The header of a dump.
    package static func answer(_ layout: DumpLayout) -> [UInt8] {
        var body: [UInt8] = []
        for text in ["items", String(layout.items), "blocksize", String(layout.blockBytes)] {
            body += [UInt8(truncatingIfNeeded: text.utf8.count), 0] + Array(text.utf8)
        }
        return header(bodyLength: body.count, answerModifier) + body
    }

    private static func header(bodyLength: Int, _ modifier: UInt8) -> [UInt8] {
        let low = UInt8(truncatingIfNeeded: bodyLength)
        return [UwsgiParser.modifier, low, UInt8(truncatingIfNeeded: bodyLength &>> 8), modifier]
    }
}
