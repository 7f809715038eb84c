/// The packets about one item. Each checks its lengths, as memcached does, and fills the request.
extension BinaryParser {
    /// `touch` and the four `gat`. What a body has behind the key is not looked at: it is read as the
    /// next packet.
    mutating func touch(
        _ packet: BinaryPacket, _ request: inout Request, _ keys: UnsafeMutablePointer<RetrievalKey>,
        withKey: Bool = false, quietly: Bool = false
    ) -> ParseStep {
        guard packet.extrasLength == 4, packet.keyLength > 0 else { return refuse(.badCommandLine) }
        request.exptime = Int64(packet.extra32(at: 0))
        keys.pointee.requestStart = packetStart
        keys.pointee.start = request.keyStart
        keys.pointee.length = request.keyLength
        keys.pointee.tag = request.packetTag
        keys.pointee.isQuiet = quietly
        keys.pointee.wantsKey = withKey
        taken.count = 1
        taken.touches = true
        return .retrieval
    }

    /// `set`, `add`, `replace`: client flags and exptime, key, value.
    @inline(__always)
    mutating func store(
        _ packet: BinaryPacket, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ mode: StoreMode,
        quietly: Bool = false
    ) -> ParseStep {
        guard packet.extrasLength == 8, packet.keyLength > 0 else { return refuse(.badCommandLine) }
        request.clientFlags = packet.extra32(at: 0)
        request.exptime = Int64(packet.extra32(at: 4))
        return takeStore(packet, &cursor, end, &request, mode, quietly: quietly)
    }

    /// `append`, `prepend`: key and value.
    mutating func extend(
        _ packet: BinaryPacket, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ mode: StoreMode,
        quietly: Bool = false
    ) -> ParseStep {
        guard packet.extrasLength == 0, packet.keyLength > 0 else { return refuse(.badCommandLine) }
        return takeStore(packet, &cursor, end, &request, mode, quietly: quietly)
    }

    @inline(__always)
    private func takeStore(
        _ packet: BinaryPacket, _ cursor: inout Int, _ end: Int, _ request: inout Request, _ mode: StoreMode,
        quietly: Bool
    ) -> ParseStep {
        request.verb = .store
        request.storeMode = mode
        request.options.isQuiet = quietly
        request.cas = packet.cas
        return takeValue(packet, &cursor, end, &request)
    }

    /// Steps over the value at `cursor` if all of it is there.
    @inline(__always)
    func takeValue(
        _ packet: BinaryPacket, _ cursor: inout Int, _ end: Int, _ request: inout Request
    ) -> ParseStep {
        request.valueStart = cursor
        request.valueLength = packet.valueLength
        // A body is at most a gibibyte: no sum here comes near the end of an Int.
        guard end &- cursor >= packet.valueLength else { return .value }
        cursor &+= packet.valueLength
        return .request
    }

    mutating func delete(
        _ packet: BinaryPacket, _ request: inout Request, quietly: Bool = false
    ) -> ParseStep {
        guard packet.extrasLength == 0, packet.keyLength > 0, packet.valueLength == 0 else {
            return refuse(.badCommandLine)
        }
        request.verb = .delete
        request.options.isQuiet = quietly
        request.cas = packet.cas
        return .request
    }

    /// The exptime that says not to create an item.
    private static let neverCreate: UInt32 = 0xffff_ffff

    /// `increment`, `decrement`: delta, initial value, exptime; key.
    mutating func count(
        _ packet: BinaryPacket, _ base: UnsafePointer<UInt8>, _ request: inout Request,
        down: Bool = false, quietly: Bool = false
    ) -> ParseStep {
        guard packet.extrasLength == 20, packet.keyLength > 0, packet.valueLength == 0 else {
            return refuse(.badCommandLine)
        }
        let exptime = packet.extra32(at: 16)
        request.verb = .arithmetic
        request.options.isQuiet = quietly
        request.options.decrements = down
        request.options.createsItem = exptime != Self.neverCreate
        request.number = packet.extra64(at: 0)
        request.initialValue = packet.extra64(at: 8)
        request.exptime = Int64(exptime)
        request.cas = packet.cas
        return .request
    }
}
