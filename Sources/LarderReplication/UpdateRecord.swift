/// A random number of 128 bits that a record carries. Two logs, or a log and its older backup, may use one id for
/// different records. They never use one token.
public struct UpdateToken: Hashable, Sendable {
    /// The first 64 bits.
    public var high: UInt64
    /// The other 64 bits.
    public var low: UInt64

    /// A token of these bits.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// A token that no other record has.
    public static func random() -> UpdateToken {
        UpdateToken(high: UInt64.random(in: 1 ... .max), low: UInt64.random(in: .min ... .max))
    }

    /// The token of id 0, which is no record's.
    public static let zero = UpdateToken(high: 0, low: 0)
}

/// A place in a log: the id of a record, and that record's token.
public struct UpdatePoint: Hashable, Sendable {
    /// Ids begin with 1 and have no gaps. 0 is the place before the first record.
    public var id: UInt64
    /// The token of the record with this id.
    public var token: UpdateToken

    /// The place of a record.
    public init(id: UInt64, token: UpdateToken) {
        self.id = id
        self.token = token
    }

    /// The place before the first record.
    public static let start = UpdatePoint(id: 0, token: .zero)
}

/// A change of one key, or of all keys.
public enum UpdateChange: Hashable, Sendable {
    /// The key gets a value, and 32 bits that belong to it: memcached's client flags.
    case set(key: [UInt8], value: [UInt8], flags: UInt32)
    /// The key is removed.
    case delete(key: [UInt8])
    /// If the condition holds, the key gets a value; or without a value, it is removed.
    case conditional(key: [UInt8], value: [UInt8]?, flags: UInt32, UpdateCondition)
    /// All keys are removed.
    case clear

    /// The key; empty if the change is one of all keys.
    public var key: [UInt8] {
        switch self {
        case .set(let key, _, _), .delete(let key), .conditional(let key, _, _, _): key
        case .clear: []
        }
    }

    /// Bytes that the change takes up in the contents of a record.
    var encodedBytes: Int {
        switch self {
        case .set(let key, let value, _): 11 + key.count + value.count
        case .delete(let key): 3 + key.count
        case .conditional(let key, let value, _, _): 9 + (value.map { 11 + $0.count } ?? 3) + key.count
        case .clear: 1
        }
    }
}

/// A record of a log: encoded changes that are applied together, and a token.
public struct UpdateRecord: Hashable, Sendable {
    /// Random, for each record.
    public var token: UpdateToken
    /// The changes, encoded as docs/log-format.md says. A log stores these bytes unchanged.
    public var contents: [UInt8]

    /// A record as a log keeps it.
    public init(token: UpdateToken, contents: [UInt8]) {
        self.token = token
        self.contents = contents
    }

    /// A new record, with a token of its own.
    /// - Throws: `.emptyKey` or `.keyTooLong` for a key that no replica takes; `.updateTooLarge` if the contents would
    ///   have more than 32 MiB; `.conditionNotAlone` for a conditional change beside others.
    public init(_ changes: [UpdateChange]) throws(ReplicationError) {
        for change in changes where change != .clear { try ReplicatedCache.check(key: change.key) }
        guard changes.count == 1 || !changes.contains(where: \.isConditional) else { throw .conditionNotAlone }
        let bytes = changes.reduce(Self.headBytes) { $0 + $1.encodedBytes }
        guard bytes <= LogFrame.recordBytesMax else {
            throw .updateTooLarge(bytes: bytes, limit: LogFrame.recordBytesMax)
        }
        token = .random()
        contents = []
        contents.reserveCapacity(bytes)
        contents.append(Self.version)
        contents.append(number: UInt32(changes.count))
        for change in changes { Self.append(change, to: &contents) }
    }

    static let version: UInt8 = 1
    static let headBytes = 5
    private static let setKind: UInt8 = 1
    private static let deleteKind: UInt8 = 2
    private static let conditionalKind: UInt8 = 3
    private static let relativeKind: UInt8 = 4
    private static let clearKind: UInt8 = 5

    private static func append(_ change: UpdateChange, to contents: inout [UInt8]) {
        switch change {
        case .set(let key, let value, let flags):
            contents.append(setKind)
            contents.append(number: UInt16(key.count))
            contents += key
            contents.append(number: flags)
            contents.append(number: UInt32(value.count))
            contents += value
        case .delete(let key):
            contents.append(deleteKind)
            contents.append(number: UInt16(key.count))
            contents += key
        case .conditional(let key, let value, let flags, let condition):
            contents.append(condition.isRelative ? relativeKind : conditionalKind)
            contents.append(number: condition.number)
            let plain = value.map { UpdateChange.set(key: key, value: $0, flags: flags) }
            append(plain ?? .delete(key: key), to: &contents)
        case .clear: contents.append(clearKind)
        }
    }

    /// The changes, in their order; nil if the contents are not those of a record of this version.
    public func changes() -> [UpdateChange]? {
        var reader = ByteReader(contents)
        guard reader.number(UInt8.self) == Self.version, let count = reader.number(UInt32.self) else { return nil }
        var changes: [UpdateChange] = []
        for _ in 0..<count {
            guard let change = Self.change(&reader) else { return nil }
            // A record may be applied twice, which must change nothing. With others beside it, a condition could hold the
            // second time only.
            guard count == 1 || !change.isConditional else { return nil }
            changes.append(change)
        }
        return reader.isAtEnd ? changes : nil
    }

    private static func change(_ reader: inout ByteReader) -> UpdateChange? {
        guard let kind = reader.number(UInt8.self) else { return nil }
        switch kind {
        case clearKind: return .clear
        case conditionalKind, relativeKind:
            guard let number = reader.number(UInt64.self), let plain = reader.number(UInt8.self) else { return nil }
            let condition = UpdateCondition(number: number, isRelative: kind == relativeKind)
            switch keyed(plain, &reader) {
            case .set(let key, let value, let flags):
                return .conditional(key: key, value: value, flags: flags, condition)
            case .delete(let key): return .conditional(key: key, value: nil, flags: 0, condition)
            default: return nil
            }
        default: return keyed(kind, &reader)
        }
    }

    private static func keyed(_ kind: UInt8, _ reader: inout ByteReader) -> UpdateChange? {
        guard let keyBytes = reader.number(UInt16.self), keyBytes > 0, let key = reader.take(Int(keyBytes)) else {
            return nil
        }
        switch kind {
        case setKind:
            guard let flags = reader.number(UInt32.self), let valueBytes = reader.number(UInt32.self),
                let value = reader.take(Int(valueBytes))
            else { return nil }
            return .set(key: key, value: value, flags: flags)
        case deleteKind: return .delete(key: key)
        default: return nil
        }
    }
}

/// A record with the id that the log gave it.
public struct UpdateEntry: Hashable, Sendable {
    /// One more than the id of the record before.
    public var id: UInt64
    /// The record.
    public var record: UpdateRecord

    /// A record of a log.
    public init(id: UInt64, record: UpdateRecord) {
        self.id = id
        self.record = record
    }

    /// The record's place in the log.
    public var point: UpdatePoint { UpdatePoint(id: id, token: record.token) }
}

/// A key and its value in a snapshot.
public struct SnapshotItem: Hashable, Sendable {
    /// The key.
    public var key: [UInt8]
    /// Its value.
    public var value: [UInt8]
    /// The 32 bits that belong to the value.
    public var flags: UInt32
    /// The id of the record that set the value.
    public var id: UInt64

    /// An item of a snapshot.
    public init(key: [UInt8], value: [UInt8], flags: UInt32, id: UInt64) {
        self.key = key
        self.value = value
        self.flags = flags
        self.id = id
    }
}
