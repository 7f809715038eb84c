/// Why a dump is not taken.
package enum DumpRefusal: Error, Equatable {
    /// Its header cannot be read.
    case header
    /// The other cache has these numbers, which differ from those of this one.
    case geometry(items: Int, blockBytes: Int)
    /// A slot's record cannot be one of this layout, so `keysize` or `blocks` differ, or the bytes are damaged.
    case record(slot: Int)
}

/// One item of a dump.
package struct DumpItem {
    package let key: UnsafeRawBufferPointer
    /// nil: it is longer than the receiver takes.
    package let value: UnsafeRawBufferPointer?
    package let clientFlags: UInt32
    /// As in the record.
    package let expires: UInt64
    package let hits: UInt64
}

/// Reads a dump, in pieces of any length.
///
/// The bytes are another server's, and may be anything. A number is compared with the layout before it is used. No item
/// is handed on before all records were found to be of this layout. So a dump of another `keysize` leaves nothing
/// behind. The decoder keeps the records of used slots, and of the values only the one that is half there.
package struct DumpDecoder: Sendable {
    private enum Phase {
        case header, records, blocks
    }

    /// What is kept of a record until its value comes.
    private struct Entry {
        var firstBlock: UInt32
        var slot: UInt32
        var valueLength: Int
        var keyStart: Int
        var keyLength: Int
        var clientFlags: UInt32
        var expires: UInt64
        var hits: UInt64
    }

    private let layout: DumpLayout
    private let valueLengthMax: Int
    private let checksHashes: Bool
    private var phase = Phase.header
    /// The beginning of a header, a record or a value.
    private var partial: [UInt8] = []
    /// The slot of the next record.
    private var slot = 0
    /// Bytes of the blocks that have come.
    private var position = 0
    private var entries: [Entry] = []
    private var keys: [UInt8] = []
    private var entriesDone = 0

    /// - Parameters:
    ///   - valueLengthMax: longer values are passed over.
    ///   - checksHashes: whether the hashes of records are compared with their keys.
    package init(_ layout: DumpLayout, valueLengthMax: Int, checksHashes: Bool) {
        self.layout = layout
        self.valueLengthMax = valueLengthMax
        self.checksHashes = checksHashes
    }

    /// Whether every item was handed on. The blocks behind the last value need not be read.
    package var isComplete: Bool { phase == .blocks && entriesDone == entries.count }

    /// Takes the next bytes, and calls `body` with each item that is complete.
    package mutating func take(
        _ bytes: UnsafeRawBufferPointer, _ body: (DumpItem) -> Void
    ) throws(DumpRefusal) {
        var start = 0
        while start < bytes.count, !isComplete {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
            switch phase {
            case .header: start &+= try takeHeader(rest)
            case .records: start &+= try takeRecord(rest)
            case .blocks: start &+= takeBlocks(rest, body)
            }
            if phase == .records, slot == layout.items { try beginBlocks(body) }
        }
    }

    /// Adds bytes to `partial` until it has so many.
    /// - Returns: how many were added.
    private mutating func fill(upTo length: Int, _ bytes: UnsafeRawBufferPointer) -> Int {
        let count = min(length &- partial.count, bytes.count)
        partial.append(contentsOf: bytes.prefix(count))
        return count
    }

    // MARK: Header

    private mutating func takeHeader(_ bytes: UnsafeRawBufferPointer) throws(DumpRefusal) -> Int {
        let headerLength = UwsgiParser.headerLength
        guard partial.count >= headerLength else {
            let count = fill(upTo: headerLength, bytes)
            guard partial.count == headerLength else { return count }
            // Without a body there is no further byte to wait for.
            let length = bodyLength
            guard length > 0, length <= UwsgiParser.bodyLengthMax else { throw .header }
            return count
        }
        let count = fill(upTo: headerLength &+ bodyLength, bytes)
        guard partial.count == headerLength &+ bodyLength else { return count }
        guard let (items, blockBytes) = geometry() else { throw .header }
        guard items == layout.items, blockBytes == layout.blockBytes else {
            throw .geometry(items: items, blockBytes: blockBytes)
        }
        partial.removeAll(keepingCapacity: true)
        phase = .records
        return count
    }

    private var bodyLength: Int { Int(partial[1]) | Int(partial[2]) &<< 8 }

    private func geometry() -> (items: Int, blockBytes: Int)? {
        partial.withUnsafeBufferPointer { buffer in
            guard let base = buffer.baseAddress,
                let fields = UwsgiFields(base, UwsgiParser.headerLength, buffer.count),
                let items = Self.number(buffer, fields.value(of: "items", base)),
                let blockBytes = Self.number(buffer, fields.value(of: "blocksize", base))
            else { return nil }
            return (items, blockBytes)
        }
    }

    /// Decimal digits, and nothing else; 18 of them at most, which no overflow comes of.
    private static func number(
        _ bytes: UnsafeBufferPointer<UInt8>, _ text: (start: Int, length: Int)
    ) -> Int? {
        guard (1...18).contains(text.length) else { return nil }
        var value = 0
        for place in text.start..<text.start &+ text.length {
            let digit = bytes[place] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            value = value &* 10 &+ Int(digit)
        }
        return value
    }

    // MARK: Records

    private mutating func takeRecord(_ bytes: UnsafeRawBufferPointer) throws(DumpRefusal) -> Int {
        let length = layout.recordLength
        if partial.isEmpty, bytes.count >= length {
            try note(UnsafeRawBufferPointer(rebasing: bytes[..<length]))
            return length
        }
        let count = fill(upTo: length, bytes)
        guard partial.count == length else { return count }
        let record = partial
        partial.removeAll(keepingCapacity: true)
        try record.withUnsafeBufferPointer { (bytes) throws(DumpRefusal) in try note(UnsafeRawBufferPointer(bytes)) }
        return count
    }

    /// Notes the record of the next slot.
    private mutating func note(_ bytes: UnsafeRawBufferPointer) throws(DumpRefusal) {
        let slot = self.slot
        self.slot &+= 1
        let record = DumpRecord(bytes)
        // uWSGI uses no slot 0.
        guard slot > 0 else { return }
        guard record.keyLength > 0 else {
            // Otherwise it belongs to a record at another place.
            guard layout.allowsFree(record) else { throw .record(slot: slot) }
            return
        }
        guard layout.allows(record) else { throw .record(slot: slot) }
        let length = Int(record.keyLength)
        let key = UnsafeRawBufferPointer(rebasing: bytes[DumpRecord.fieldsLength..<DumpRecord.fieldsLength &+ length])
        if checksHashes {
            guard
                record.hash == UInt64(UwsgiHash.djb33x.value(of: key))
                    || record.hash == UInt64(UwsgiHash.murmur2.value(of: key))
            else { throw .record(slot: slot) }
        }
        guard record.flags & DumpRecord.ungettable == 0 else { return }
        entries.append(
            Entry(
                firstBlock: UInt32(truncatingIfNeeded: record.firstBlock), slot: UInt32(truncatingIfNeeded: slot),
                valueLength: Int(record.valueLength), keyStart: keys.count, keyLength: length,
                clientFlags: UInt32(truncatingIfNeeded: record.flags &>> 32), expires: record.expires,
                hits: record.hits))
        keys.append(contentsOf: key)
    }

    /// Sorts the items by the places of their values, which must not overlap.
    private mutating func beginBlocks(_ body: (DumpItem) -> Void) throws(DumpRefusal) {
        entries.sort { ($0.firstBlock, $0.slot) < ($1.firstBlock, $1.slot) }
        var end = 0
        for entry in entries {
            let start = Int(entry.firstBlock)
            guard start >= end else { throw .record(slot: Int(entry.slot)) }
            end = start &+ layout.blockCount(ofValueLength: entry.valueLength)
        }
        phase = .blocks
        handOnWithoutBytes(body)
    }

    // MARK: Blocks

    private mutating func takeBlocks(_ bytes: UnsafeRawBufferPointer, _ body: (DumpItem) -> Void) -> Int {
        let entry = entries[entriesDone]
        let start = Int(entry.firstBlock) &* layout.blockBytes
        guard position >= start else {
            let count = min(start &- position, bytes.count)
            position &+= count
            return count
        }
        let length = entry.valueLength
        let count: Int
        if partial.isEmpty, bytes.count >= length {
            count = length
            handOn(entry, UnsafeRawBufferPointer(rebasing: bytes[..<length]), body)
        } else {
            partial.reserveCapacity(length)
            count = fill(upTo: length, bytes)
            if partial.count == length {
                partial.withUnsafeBytes { handOn(entry, $0, body) }
                partial.removeAll(keepingCapacity: true)
            }
        }
        position &+= count
        if position == start &+ length {
            entriesDone &+= 1
            handOnWithoutBytes(body)
        }
        return count
    }

    /// Hands on the next items as long as no byte is needed for them: they are empty, or too long.
    private mutating func handOnWithoutBytes(_ body: (DumpItem) -> Void) {
        while entriesDone < entries.count {
            let entry = entries[entriesDone]
            guard entry.valueLength == 0 || entry.valueLength > valueLengthMax else { return }
            // SAFETY: an empty buffer, from which nothing is read.
            handOn(entry, entry.valueLength == 0 ? UnsafeRawBufferPointer(start: nil, count: 0) : nil, body)
            entriesDone &+= 1
        }
    }

    private func handOn(_ entry: Entry, _ value: UnsafeRawBufferPointer?, _ body: (DumpItem) -> Void) {
        keys.withUnsafeBytes { keys in
            let key = UnsafeRawBufferPointer(rebasing: keys[entry.keyStart..<entry.keyStart &+ entry.keyLength])
            body(
                DumpItem(
                    key: key, value: value, clientFlags: entry.clientFlags, expires: entry.expires,
                    hits: entry.hits))
        }
    }
}
