import LarderWire
import NIOCore

/// Requests as the binary protocol's packets.
struct BinaryRequestEncoder: RequestEncoder {
    private(set) var bytes = ByteBuffer()
    private(set) var expected: [ExpectedAnswer] = []
    private var nextOpaque: UInt32

    /// A number is kept where there is none already, unless this is when it is to end.
    private static let neverCreate: UInt32 = 0xffff_ffff

    init(firstOpaque: UInt64, commandCount: Int) {
        // In flight at the same time are never so many that one would come twice.
        nextOpaque = UInt32(truncatingIfNeeded: firstOpaque)
        expected.reserveCapacity(commandCount)
    }

    mutating func get(_ key: String) throws(MemcacheError) {
        try begin(.getWithKey, key)
        bytes.writeString(key)
    }

    /// There is no telling how long.
    mutating func getWithTimeLeft(_ key: String) throws(MemcacheError) { try get(key) }

    mutating func timeLeft(_ key: String) throws(MemcacheError) { throw Self.noTimeLeft }

    mutating func timeLeft(_ key: String, until end: Int64) throws(MemcacheError) { throw Self.noTimeLeft }

    private static var noTimeLeft: MemcacheError {
        MemcacheError(.notSupported, "an item's end can be kept in the meta dialect only")
    }

    mutating func store(
        _ mode: StoreMode, _ item: NewItem, seconds: Int64, cas: UInt64?
    ) throws(MemcacheError) {
        let opcode: BinaryOpcode =
            switch mode {
            case .set: .set
            case .add: .add
            case .replace: .replace
            }
        try WireKey.checkRoom(for: item.bytes.count, after: bytes)
        try begin(opcode, item.key, extrasLength: 8, valueLength: item.bytes.count, cas: cas ?? 0)
        bytes.writeInteger(item.flags)
        bytes.writeInteger(Self.exptime(seconds))
        bytes.writeString(item.key)
        bytes.writeBytes(item.bytes)
    }

    mutating func extend(_ end: ValueEnd, _ item: NewItem) throws(MemcacheError) {
        try WireKey.checkRoom(for: item.bytes.count, after: bytes)
        try begin(end == .back ? .append : .prepend, item.key, valueLength: item.bytes.count)
        bytes.writeString(item.key)
        bytes.writeBytes(item.bytes)
    }

    mutating func meta(_ command: MetaCommand) throws(MemcacheError) {
        throw MemcacheError(.notSupported, "the binary dialect has no commands of the meta protocol")
    }

    mutating func delete(_ key: String) throws(MemcacheError) {
        try begin(.delete, key)
        bytes.writeString(key)
    }

    mutating func add(
        _ delta: Int64, to key: String, initial: UInt64?, seconds: Int64
    ) throws(MemcacheError) {
        try begin(delta < 0 ? .decrement : .increment, key, extrasLength: 20)
        bytes.writeInteger(delta.magnitude)
        bytes.writeInteger(initial ?? 0)
        bytes.writeInteger(initial == nil ? Self.neverCreate : Self.exptime(seconds))
        bytes.writeString(key)
    }

    mutating func touch(_ key: String, seconds: Int64) throws(MemcacheError) {
        try begin(.touch, key, extrasLength: 4)
        bytes.writeInteger(Self.exptime(seconds))
        bytes.writeString(key)
    }

    mutating func lease(_ key: String, seconds: Int) throws(MemcacheError) {
        let marker = NewItem(key: key, bytes: [], flags: StoredItem.leaseMarkerFlags)
        try store(.add, marker, seconds: Int64(seconds), cas: nil)
        try get(key)
    }

    mutating func flushAll() { header(.flush) }

    mutating func ping() { header(.noOperation) }

    mutating func clusterConfiguration() throws(MemcacheError) {
        throw MemcacheError(.notSupported, "clusters are asked who is in them in the meta dialect only")
    }

    /// SASL's PLAIN: a name to act for, which is not given, and who says so.
    mutating func logIn(user: String, password: String) {
        let mechanism = "PLAIN"
        let message = "\0\(user)\0\(password)"
        header(.authenticate, keyLength: mechanism.utf8.count, valueLength: message.utf8.count)
        bytes.writeString(mechanism)
        bytes.writeString(message)
    }

    /// The number that stands for a time; there are none below zero, and 32 bits for it.
    private static func exptime(_ seconds: Int64) -> UInt32 {
        // A moment in 1970: what is larger than any span is a date.
        guard seconds >= 0 else { return UInt32(Expiration.spanSecondsMax) + 1 }
        return UInt32(min(seconds, Int64(neverCreate) - 1))
    }

    /// The header of a packet about an item. Extras, key and value are to follow.
    private mutating func begin(
        _ opcode: BinaryOpcode, _ key: String, extrasLength: Int = 0, valueLength: Int = 0, cas: UInt64 = 0
    ) throws(MemcacheError) {
        let count = key.utf8.count
        try WireKey.check(bytes: count, of: key)
        header(
            opcode, keyLength: count, extrasLength: extrasLength, valueLength: valueLength, cas: cas)
        expected[expected.endIndex - 1].key = key
    }

    private mutating func header(
        _ opcode: BinaryOpcode, keyLength: Int = 0, extrasLength: Int = 0, valueLength: Int = 0,
        cas: UInt64 = 0
    ) {
        let requestMagic: UInt8 = 0x80
        let bodyLength = UInt32(clamping: extrasLength + keyLength + valueLength)
        bytes.writeMultipleIntegers(
            requestMagic, opcode.rawValue, UInt16(clamping: keyLength), UInt8(clamping: extrasLength),
            UInt8(0), UInt16(0), bodyLength, nextOpaque, cas)
        expected.append(ExpectedAnswer(opaque: UInt64(nextOpaque), opcode: opcode.rawValue))
        nextOpaque &+= 1
    }
}
