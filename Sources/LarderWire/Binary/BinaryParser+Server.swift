/// The packets that concern the server and not an item.
extension BinaryParser {
    /// A packet that is nothing but a header.
    mutating func bare(
        _ packet: BinaryPacket, _ request: inout Request, _ verb: Verb, quietly: Bool = false
    ) -> ParseStep {
        guard packet.bodyLength == 0 else { return refuse(.badCommandLine) }
        request.verb = verb
        request.options.isQuiet = quietly
        return .request
    }

    /// `flush`: perhaps an exptime.
    mutating func flush(
        _ packet: BinaryPacket, _ base: UnsafePointer<UInt8>, _ request: inout Request, quietly: Bool = false
    ) -> ParseStep {
        let hasExptime = packet.extrasLength == 4
        guard packet.keyLength == 0, packet.valueLength == 0, hasExptime || packet.extrasLength == 0 else {
            return refuse(.badCommandLine)
        }
        request.verb = .flushAll
        request.options.isQuiet = quietly
        request.options.hasExptime = hasExptime
        if hasExptime { request.exptime = Int64(packet.extra32(at: 0)) }
        return .request
    }

    /// `stat`: the key names what to tell. A value behind it is read as the next packet.
    mutating func statistics(_ packet: BinaryPacket, _ request: inout Request) -> ParseStep {
        guard packet.extrasLength == 0 else { return refuse(.badCommandLine) }
        request.verb = .statistics
        return .request
    }

    /// SASL: which ways there are.
    mutating func listMechanisms(_ packet: BinaryPacket, _ request: inout Request) -> ParseStep {
        guard packet.bodyLength == 0 else { return refuse(.badCommandLine) }
        guard offersAuthentication else { return skip(packet, .unknownCommand) }
        request.verb = .listMechanisms
        return .request
    }

    /// SASL: the key names the mechanism.
    mutating func authenticate(
        _ packet: BinaryPacket, _ cursor: inout Int, _ end: Int, _ request: inout Request
    ) -> ParseStep {
        guard packet.extrasLength == 0, packet.keyLength > 0 else { return refuse(.badCommandLine) }
        guard offersAuthentication else { return skip(packet, .unknownCommand) }
        guard packet.keyLength <= Self.mechanismLengthMax else { return skip(packet, .badCommandLine) }
        guard packet.valueLength <= Self.authenticationLengthMax else { return skip(packet, .outOfMemory) }
        request.verb = .authenticate
        return takeValue(packet, &cursor, end, &request)
    }
}
