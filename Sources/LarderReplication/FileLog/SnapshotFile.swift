import Glibc

/// The file of a snapshot: a header, then frames of items, then a frame without items. A frame's id is its number.
enum SnapshotFile {
    /// A frame is ended with the item that reaches this size.
    private static let frameBytes = 256 << 10

    /// - Returns: the file. It is locked, so that `trim` does not take it for a file that a kill left.
    static func write(
        _ path: String, at point: UpdatePoint, _ identity: UpdateToken,
        _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError) -> OpenFile {
        let header = LogFileHeader(kind: .snapshot, identity: identity, id: point.id, token: point.token)
        let file = try OpenFile(path, O_RDWR | O_CREAT | O_TRUNC)
        // The file is new. Another process locks it only to check whether it is in use, which is short.
        try file.lock(milliseconds: 1000)
        var offset = 0
        var bytes = header.encoded()
        var contents: [UInt8] = []
        var number: UInt64 = 0
        var isLast = false
        while !isLast {
            if let item = try next() { try append(item, to: &contents) } else { isLast = true }
            guard isLast || contents.count >= frameBytes else { continue }
            for piece in contents.isEmpty ? [[]] : isLast ? [contents, []] : [contents] {
                number &+= 1
                LogFrame.append(id: number, token: point.token, contents: piece, seed: header.seed, to: &bytes)
            }
            contents = []
            try file.write(bytes, at: offset)
            offset += bytes.count
            bytes = []
        }
        try file.sync()
        return file
    }

    static func append(_ item: SnapshotItem, to contents: inout [UInt8]) throws(ReplicationError) {
        try ReplicatedCache.check(key: item.key)
        guard item.value.count <= LogFrame.recordBytesMax else {
            throw .updateTooLarge(bytes: item.value.count, limit: LogFrame.recordBytesMax)
        }
        contents.append(number: UInt16(item.key.count))
        contents += item.key
        contents.append(number: item.id)
        contents.append(number: item.flags)
        contents.append(number: UInt32(item.value.count))
        contents += item.value
    }

    /// - Throws: `.logDamaged` if a frame is damaged or the last one is missing. Items before that have been visited.
    static func read(
        _ file: OpenFile, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) {
        guard let header = LogFileHeader(try file.read(at: 0, count: LogFileHeader.bytes)) else {
            throw .logDamaged(path: file.path, offset: 0, reason: "its header")
        }
        var offset = LogFileHeader.bytes
        var number: UInt64 = 1
        var wanted = 2 * frameBytes
        while true {
            let chunk = try file.read(at: offset, count: wanted)
            switch LogFrame.find(in: chunk, at: 0, seed: header.seed) {
            case .frame(let entry, let bytes) where entry.id == number:
                if entry.record.contents.isEmpty { return }
                guard try visitItems(of: entry.record.contents, visit) else {
                    throw ReplicationError.logDamaged(path: file.path, offset: offset, reason: "an item")
                }
                offset += bytes
                number &+= 1
            case .part(let bytes) where bytes > wanted: wanted = bytes
            default: throw .logDamaged(path: file.path, offset: offset, reason: "frame \(number) of the snapshot")
            }
        }
    }

    static func visitItems(
        of contents: [UInt8], _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) -> Bool {
        var reader = ByteReader(contents)
        while !reader.isAtEnd {
            guard let keyBytes = reader.number(UInt16.self), keyBytes > 0, let key = reader.take(Int(keyBytes)),
                let id = reader.number(UInt64.self), let flags = reader.number(UInt32.self),
                let valueBytes = reader.number(UInt32.self), let value = reader.take(Int(valueBytes))
            else { return false }
            try visit(SnapshotItem(key: key, value: value, flags: flags, id: id))
        }
        return true
    }
}
