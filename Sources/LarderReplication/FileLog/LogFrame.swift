import CLarderArena

/// One record in a file, with its checksum: docs/log-format.md.
///
///      0 checksum of all that follows   u64
///      8 magic                          u32
///     12 bytes of the contents          u32
///     16 id                             u64
///     24 token                          2 × u64
///     40 contents
enum LogFrame {
    static let headerBytes = 40
    static let magic: UInt32 = 0x3152_464C  // "LFR1"
    /// A length above this is damage, not a record.
    static let contentsBytesMax = 64 << 20
    /// The largest record. A frame of a snapshot may be larger: its last item may go beyond the usual size.
    static let recordBytesMax = 32 << 20

    static func append(
        id: UInt64, token: UpdateToken, contents: [UInt8], seed: UInt64, to bytes: inout [UInt8]
    ) {
        let start = bytes.count
        bytes.append(number: UInt64(0))
        bytes.append(number: magic)
        bytes.append(number: UInt32(contents.count))
        bytes.append(number: id)
        bytes.append(number: token.high)
        bytes.append(number: token.low)
        bytes += contents
        bytes.put(number: checksum(bytes, start + 8..<bytes.count, seed: seed), at: start)
    }

    /// The result of a look at untrusted bytes.
    enum Found {
        /// A whole frame, and its bytes with the header.
        case frame(UpdateEntry, bytes: Int)
        /// The beginning of a frame, and the bytes that the whole frame would have.
        case part(bytes: Int)
        case nothing
    }

    static func find(in bytes: [UInt8], at place: Int, seed: UInt64) -> Found {
        var reader = ByteReader(bytes, from: place)
        guard bytes.count &- place >= headerBytes, let check = reader.number(UInt64.self),
            let word = reader.number(UInt32.self), let length = reader.number(UInt32.self),
            let id = reader.number(UInt64.self), let high = reader.number(UInt64.self),
            let low = reader.number(UInt64.self)
        else { return .part(bytes: headerBytes) }
        guard word == magic, length <= contentsBytesMax else { return .nothing }
        let total = headerBytes &+ Int(length)
        guard let contents = reader.take(Int(length)) else { return .part(bytes: total) }
        guard checksum(bytes, place &+ 8..<place &+ total, seed: seed) == check else { return .nothing }
        let record = UpdateRecord(token: UpdateToken(high: high, low: low), contents: contents)
        return .frame(UpdateEntry(id: id, record: record), bytes: total)
    }

    /// Whether a whole frame with a higher id than `id` begins anywhere after a place.
    static func isAny(in bytes: [UInt8], behind place: Int, after id: UInt64, seed: UInt64) -> Bool {
        var place = place &+ 1
        while place &+ headerBytes <= bytes.count {
            // At most places the first byte of the magic is wrong, so the search is fast.
            if bytes[place &+ 8] == UInt8(truncatingIfNeeded: magic),
                case .frame(let entry, _) = find(in: bytes, at: place, seed: seed), entry.id > id
            {
                return true
            }
            place &+= 1
        }
        return false
    }

    /// - Parameter range: within the bytes.
    static func checksum(_ bytes: [UInt8], _ range: Range<Int>, seed: UInt64) -> UInt64 {
        bytes.withUnsafeBytes { buffer in
            // SAFETY: subscripting the buffer checks the range in debug builds; callers have it from the array's count.
            larder_checksum(UnsafeRawBufferPointer(rebasing: buffer[range]).baseAddress, range.count, seed)
        }
    }
}

/// The first 64 bytes of a segment or a snapshot.
///
///      0 checksum of all that follows   u64
///      8 magic                          u64
///     16 version                        u32
///     20 kind                           u32
///     24 identity of the log            2 × u64
///     40 id                             u64
///     48 token                          2 × u64
struct LogFileHeader {
    enum Kind: UInt32 {
        /// `id`: the first record's; `token`: that of the record before it.
        case segment = 1
        /// `id` and `token`: those of the last record that the snapshot replaces.
        case snapshot = 2
    }

    var kind: Kind
    /// Random, and the same in all files of the log: a frame of another log has a wrong checksum in this one.
    var identity: UpdateToken
    var id: UInt64
    var token: UpdateToken

    static let bytes = 64
    private static let magic: UInt64 = 0x474F_4C52_4452_414C  // "LARDRLOG"
    private static let version: UInt32 = 1

    /// The seed of the checksums of the file's frames.
    var seed: UInt64 { kind == .segment ? identity.high : identity.low }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(number: UInt64(0))
        bytes.append(number: Self.magic)
        bytes.append(number: Self.version)
        bytes.append(number: kind.rawValue)
        for token in [identity.high, identity.low, id, token.high, token.low] { bytes.append(number: token) }
        bytes.put(number: LogFrame.checksum(bytes, 8..<Self.bytes, seed: Self.magic), at: 0)
        return bytes
    }

    /// The header of a file; nil: these bytes are none, or damaged.
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard bytes.count == Self.bytes, let check = reader.number(UInt64.self),
            check == LogFrame.checksum(bytes, 8..<Self.bytes, seed: Self.magic),
            reader.number(UInt64.self) == Self.magic, reader.number(UInt32.self) == Self.version,
            let kind = reader.number(UInt32.self).flatMap({ Kind(rawValue: $0) }),
            let identityHigh = reader.number(UInt64.self), let identityLow = reader.number(UInt64.self),
            let id = reader.number(UInt64.self), let high = reader.number(UInt64.self),
            let low = reader.number(UInt64.self)
        else { return nil }
        self.init(
            kind: kind, identity: UpdateToken(high: identityHigh, low: identityLow), id: id,
            token: UpdateToken(high: high, low: low))
    }

    init(kind: Kind, identity: UpdateToken, id: UInt64, token: UpdateToken) {
        self.kind = kind
        self.identity = identity
        self.id = id
        self.token = token
    }
}
