import Glibc
import LarderStore
import LarderWire

/// One dump on its way to another server. Used by one thread.
///
/// It keeps what the records have, and of the values none: those are read from the store when their turn has come.
struct DumpWriting {
    private struct Entry {
        /// Of the value in the store's snapshot.
        var number: UInt32
        var hash: UInt32
        var key: DumpKeys.Place
        var valueLength: Int
        var expires: Int64
        var clientFlags: UInt32
        var uses: Int
        var idleSeconds: Int
        /// The slots of its neighbours in the chain.
        var previous: UInt32 = 0
        var next: UInt32 = 0
    }

    /// Room for the keys of a slice, unless they are longer together.
    private static let foundKeyBytesMax = 4 << 20

    private let layout: DumpLayout
    private let hash: UwsgiHash
    private let hashSize: UInt32
    private let isOrderedByUse: Bool
    private let slices: DumpSlices
    /// `StoreDamage.count` before the first item was read; nil: the store lies in memory.
    private let damages: UInt32?
    private var entries: [Entry] = []
    private var keys = DumpKeys()
    private var blocksTaken = 0
    /// Items for which a dump has no room.
    private var leftOut = 0
    /// Whether only blocks without a value are missing.
    private(set) var hasSentAllItems = false

    /// - Parameters:
    ///   - isInFile: whether the store lies in a file, which other programs may change.
    ///   - itemsExpected: how many items the cache has.
    init(_ settings: CacheSettings, isInFile: Bool, itemsExpected: Int, _ slices: DumpSlices = DumpSlices()) {
        self.slices = slices
        damages = isInFile ? StoreDamage.count : nil
        layout = settings.dumpLayout
        hash = settings.hashName == "murmur2" ? .murmur2 : .djb33x
        hashSize = UInt32(clamping: settings.hashSize)
        isOrderedByUse = settings.purgesLeastRecentlyUsed
        entries.reserveCapacity(min(itemsExpected, layout.items))
    }

    var summary: String {
        "gave a dump of \(entries.count) items" + (leftOut > 0 ? "; \(leftOut) did not fit its layout" : "")
    }

    // MARK: Collecting

    /// Counts the items. From then on each stays as it is for this dump.
    mutating func collect(
        _ session: borrowing Session, _ clock: ServerClock, until stop: StopSignal
    ) throws(DumpFailure) {
        var walk = ItemWalk()
        var found: [Entry] = []
        var foundKeys: [UInt8] = []
        let foundMax = DumpSlices.itemsMax + ItemWalk.itemsMax
        found.reserveCapacity(foundMax)
        foundKeys.reserveCapacity(min(foundMax * layout.keyBytesMax, Self.foundKeyBytesMax))
        while !walk.isComplete {
            if stop.isSent { throw .stopped }
            let now = clock.now()
            session.begin(now: now)
            repeat {
                let before = found.count
                takeBucket(&walk, session, &found, &foundKeys, now: now)
                slices.note(buckets: 1, items: found.count - before)
            } while !walk.isComplete && !slices.isFull
            session.end()
            // Between turns, because a writer may wait for the end of a turn.
            add(found, foundKeys)
            found.removeAll(keepingCapacity: true)
            foundKeys.removeAll(keepingCapacity: true)
            slices.rest()
        }
        if isOrderedByUse { sortByUse() }
        link()
    }

    /// Counts the items of one bucket.
    private mutating func takeBucket(
        _ walk: inout ItemWalk, _ session: borrowing Session, _ found: inout [Entry], _ foundKeys: inout [UInt8],
        now: Int64
    ) {
        session.takeSnapshot(&walk, now: now) { item in
            let blocks = layout.blockCount(ofValueLength: item.valueLength)
            let number = entries.count + found.count
            let fits = number < layout.items - 1 && (!layout.isBitmap || blocksTaken + blocks <= layout.blocks)
            guard fits, item.keyLength <= layout.keyBytesMax else {
                leftOut += 1
                return nil
            }
            blocksTaken += blocks
            found.append(
                entry(item, UInt32(truncatingIfNeeded: number), keyStart: foundKeys.count, session, now: now))
            foundKeys.append(contentsOf: UnsafeRawBufferPointer(start: item.key, count: item.keyLength))
            return UInt32(truncatingIfNeeded: number)
        }
    }

    private func entry(
        _ item: Item, _ number: UInt32, keyStart: Int, _ session: borrowing Session, now: Int64
    ) -> Entry {
        Entry(
            number: number, hash: 0, key: DumpKeys.Place(start: keyStart, length: item.keyLength),
            valueLength: item.valueLength, expires: SyncExpiry.seconds(session.expiry(of: item)),
            clientFlags: item.clientFlags, uses: item.uses,
            idleSeconds: isOrderedByUse ? session.secondsSinceAccess(item, now: now) : 0)
    }

    /// Adds the items that were found in one turn.
    private mutating func add(_ found: [Entry], _ foundKeys: [UInt8]) {
        foundKeys.withUnsafeBytes { foundKeys in
            for var entry in found {
                let key = UnsafeRawBufferPointer(rebasing: foundKeys[entry.key.range])
                entry.key = keys.add(key)
                entry.hash = hash.value(of: key)
                entries.append(entry)
            }
        }
    }

    /// The order of the slots is the order of use for a cache that drops the least recently used.
    private mutating func sortByUse() {
        let slices = slices
        entries.sort {
            slices.note(steps: 1)
            slices.restIfFull()
            return $0.idleSeconds > $1.idleSeconds
        }
    }

    /// Chains the slots of which the receiver's table has one place.
    private mutating func link() {
        var last: [UInt32: UInt32] = [:]
        last.reserveCapacity(min(entries.count, Int(hashSize)))
        for place in entries.indices {
            let slot = UInt32(truncatingIfNeeded: place + 1)
            let chain = entries[place].hash % max(1, hashSize)
            if let before = last.updateValue(slot, forKey: chain) {
                entries[place].previous = before
                entries[Int(before) - 1].next = slot
            }
            slices.note(steps: 1)
            slices.restIfFull()
        }
    }

    // MARK: Writing

    /// Sends the whole dump.
    mutating func write(
        _ session: borrowing Session, _ clock: ServerClock, to connection: borrowing DumpConnection
    ) throws(DumpFailure) {
        var piece = DumpPiece(damages: damages, slices)
        try piece.append(DumpPacket.answer(layout), connection)
        try writeRecords(&piece, connection)
        let end = try writeValues(&piece, session, clock, connection)
        try piece.flush(connection)
        hasSentAllItems = true
        try piece.appendZeros(layout.dataLength - end, connection)
        try piece.flush(connection)
    }

    /// - Parameter block: the first free one, where values follow each other.
    private func firstBlock(ofPlace place: Int, after block: Int) -> Int { layout.isBitmap ? block : place + 1 }

    private func writeRecords(_ piece: inout DumpPiece, _ connection: borrowing DumpConnection) throws(DumpFailure) {
        try piece.appendZeros(layout.recordLength, connection)
        var bytes = [UInt8](repeating: 0, count: layout.recordLength)
        var block = 0
        for (place, entry) in entries.enumerated() {
            var record = DumpRecord()
            record.flags = UInt64(entry.clientFlags) << 32
            record.keyLength = UInt64(entry.key.length)
            record.hash = UInt64(entry.hash)
            record.valueLength = UInt64(entry.valueLength)
            record.firstBlock = UInt64(firstBlock(ofPlace: place, after: block))
            record.expires = UInt64(clamping: entry.expires)
            record.hits = UInt64(clamping: entry.uses)
            record.previous = UInt64(entry.previous)
            record.next = UInt64(entry.next)
            if isOrderedByUse {
                record.previousUsed = UInt64(place)
                record.nextUsed = place + 1 < entries.count ? UInt64(place + 2) : 0
            }
            block += layout.blockCount(ofValueLength: entry.valueLength)
            bytes.withUnsafeMutableBytes { bytes in
                record.write(to: bytes)
                let room = UnsafeMutableRawBufferPointer(rebasing: bytes[DumpRecord.fieldsLength...])
                keys.withBytes(of: entry.key) { room.copyMemory(from: $0) }
            }
            try piece.append(bytes, connection)
            for rest in DumpRecord.fieldsLength..<DumpRecord.fieldsLength + entry.key.length { bytes[rest] = 0 }
        }
        try piece.appendZeros((layout.items - 1 - entries.count) * layout.recordLength, connection)
    }

    /// - Returns: how many bytes of the blocks were written.
    private func writeValues(
        _ piece: inout DumpPiece, _ session: borrowing Session, _ clock: ServerClock,
        _ connection: borrowing DumpConnection
    ) throws(DumpFailure) -> Int {
        var block = 0
        var position = 0
        for (place, entry) in entries.enumerated() {
            let start = firstBlock(ofPlace: place, after: block) * layout.blockBytes
            try piece.appendZeros(start - position, connection)
            block += layout.blockCount(ofValueLength: entry.valueLength)
            var offset = 0
            while offset < entry.valueLength {
                let room = try piece.room(connection)
                let part = UnsafeMutableRawBufferPointer(rebasing: room[..<min(room.count, entry.valueLength - offset)])
                let isLast = offset + part.count == entry.valueLength
                session.begin(now: clock.now())
                let isThere = keys.withBytes(of: entry.key) { bytes in
                    // SAFETY: a key that was found lies there, and has at least one byte.
                    let key = session.hashed(bytes.baseAddress.unsafelyUnwrapped, length: bytes.count)
                    return session.readSnapshot(entry.number, key, offset: offset, into: part, isLast: isLast)
                }
                session.end()
                guard isThere else { throw .changed }
                piece.didWrite(part.count)
                slices.note(items: 1)
                // A full piece is sent next, and the thread rests behind it.
                if !piece.isFull { slices.restIfFull() }
                offset += part.count
            }
            position = start + entry.valueLength
        }
        return position
    }
}

/// The next part of a dump. The thread rests after it has sent a part.
struct DumpPiece: ~Copyable {
    private let buffer: UnsafeMutableRawBufferPointer
    private var length = 0
    private var pace = DumpPace()
    private let damages: UInt32?
    private let slices: DumpSlices

    /// - Parameter damages: `StoreDamage.count` before the items were read; nil: they cannot be damaged.
    init(damages: UInt32?, _ slices: DumpSlices) {
        buffer = .allocate(byteCount: DumpSlices.bytesMax, alignment: 16)
        self.damages = damages
        self.slices = slices
    }

    deinit { buffer.deallocate() }

    var isFull: Bool { length == buffer.count }

    /// Room for the next bytes; never empty.
    mutating func room(_ connection: borrowing DumpConnection) throws(DumpFailure) -> UnsafeMutableRawBufferPointer {
        if isFull { try flush(connection) }
        return UnsafeMutableRawBufferPointer(rebasing: buffer[length...])
    }

    mutating func didWrite(_ count: Int) {
        length += count
        slices.note(bytes: count)
    }

    mutating func append(_ bytes: [UInt8], _ connection: borrowing DumpConnection) throws(DumpFailure) {
        var done = 0
        while done < bytes.count {
            let room = try room(connection)
            let count = min(room.count, bytes.count - done)
            room.copyBytes(from: bytes[done..<done + count])
            didWrite(count)
            done += count
        }
    }

    mutating func appendZeros(_ count: Int, _ connection: borrowing DumpConnection) throws(DumpFailure) {
        var left = count
        while left > 0 {
            let room = try room(connection)
            let part = UnsafeMutableRawBufferPointer(rebasing: room[..<min(room.count, left)])
            part.initializeMemory(as: UInt8.self, repeating: 0)
            didWrite(part.count)
            left -= part.count
        }
    }

    mutating func flush(_ connection: borrowing DumpConnection) throws(DumpFailure) {
        let count = length
        length = 0
        // The store's file was changed, so these bytes may be wrong.
        if let damages, StoreDamage.count != damages { throw .changed }
        try connection.send(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        try pace.note(bytes: count)
        slices.rest()
    }
}
