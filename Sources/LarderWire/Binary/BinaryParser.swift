/// Parses the binary protocol of memcached 1.6.45, one request for each call; of retrievals as many as are there.
///
/// A packet is a header of 24 bytes, extras, a key and a value, whose lengths the header tells:
///
/// ```
/// 0       1        2            4        5           6         8        12       16     24
/// | 0x80  | opcode | key length | extras | data type | vbucket | body   | opaque | cas  |
/// ```
///
/// All numbers are big endian; the body is extras, key and value together. Like `TextParser` this
/// holds no bytes and no pointer. Lengths that do not fit the opcode end the connection with an
/// answer: where the next packet begins cannot be told any more.
package struct BinaryParser: Sendable {
    package static let headerLength = 24

    /// What header, extras and key may take together: no longer packet has a meaning, and more is
    /// never waited for.
    package static let headLengthMax = 16 << 10

    /// The longest body.
    package static let bodyLengthMax = 1 << 30

    /// The longest name of a way to authenticate.
    package static let mechanismLengthMax = 32

    /// What an authentication may take; a longer one is not even read.
    package static let authenticationLengthMax = 16 << 10

    /// What `.reject` is about.
    package internal(set) var rejection = Rejection(reply: .unknownCommand)

    /// Where the last packet began in the buffer, good until the next call: for the log.
    package internal(set) var packetStart = 0

    /// What `.retrieval` is about.
    package internal(set) var taken: TakenKeys

    /// Before a client has authenticated itself, that and `version` is all it may ask for.
    package var isAuthenticated = true

    /// Whether there is a way to authenticate at all.
    package var offersAuthentication = false

    package init() {
        taken = TakenKeys()
        taken.form = .packet
        taken.wantsCas = true
    }

    /// Takes the next request from the buffer, or the next keys. Parameters are those of `TextParser.next`.
    package mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, request: inout Request,
        keys: UnsafeMutablePointer<RetrievalKey>, countMax: Int
    ) -> ParseStep {
        if isAuthenticated, takeKeys(base, &cursor, end, keys, countMax) { return .retrieval }
        return nextPacket(base, &cursor, end, &request, keys)
    }

    /// The request of a whole packet.
    @inline(never)
    private mutating func nextPacket(
        _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int, _ request: inout Request,
        _ keys: UnsafeMutablePointer<RetrievalKey>
    ) -> ParseStep {
        // SAFETY: the caller holds base[0..<end], and `cursor` is an offset into it. Nothing is read
        // before the header is known to be there, and nothing behind it but where the header and the
        // guards say.
        let available = end &- cursor
        guard available >= Self.headerLength else { return .needMore }
        let packet = BinaryPacket(at: base + cursor)
        guard packet.hasRequestMagic else { return .close }
        let headLength = Self.headerLength &+ packet.keyLength &+ packet.extrasLength
        guard headLength <= Self.headLengthMax else { return .close }
        guard available >= headLength else { return .needMore }
        packetStart = cursor
        cursor &+= headLength
        request = Request()
        request.packetTag = packet.tag
        request.keyStart = cursor &- packet.keyLength
        request.keyLength = packet.keyLength
        guard packet.valueLength >= 0 else { return refuse(.unknownCommand) }
        guard packet.bodyLength <= Self.bodyLengthMax else { return refuse(.badCommandLine) }
        guard isAuthenticated || packet.isAllowedToAnyone else { return refuse(.authenticationFailure) }
        guard packet.keyLength <= TextParser.keyLengthMax else { return refuse(.badCommandLine) }
        return dispatch(packet, base, &cursor, end, &request, keys)
    }

    @inline(__always)
    private mutating func dispatch(
        _ packet: BinaryPacket, _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int,
        _ request: inout Request, _ keys: UnsafeMutablePointer<RetrievalKey>
    ) -> ParseStep {
        switch packet.opcode {
        case .set: return store(packet, &cursor, end, &request, .set)
        case .setQuietly: return store(packet, &cursor, end, &request, .set, quietly: true)
        default: return dispatchOther(packet, base, &cursor, end, &request, keys)
        }
    }

    private mutating func dispatchOther(
        _ packet: BinaryPacket, _ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int,
        _ request: inout Request, _ keys: UnsafeMutablePointer<RetrievalKey>
    ) -> ParseStep {
        switch packet.opcode {
        // Those that are right are taken already.
        case .get, .getQuietly, .getWithKey, .getWithKeyQuietly: return refuse(.badCommandLine)
        case .add: return store(packet, &cursor, end, &request, .add)
        case .addQuietly: return store(packet, &cursor, end, &request, .add, quietly: true)
        case .replace: return store(packet, &cursor, end, &request, .replace)
        case .replaceQuietly: return store(packet, &cursor, end, &request, .replace, quietly: true)
        case .append: return extend(packet, &cursor, end, &request, .append)
        case .appendQuietly: return extend(packet, &cursor, end, &request, .append, quietly: true)
        case .prepend: return extend(packet, &cursor, end, &request, .prepend)
        case .prependQuietly: return extend(packet, &cursor, end, &request, .prepend, quietly: true)
        case .delete: return delete(packet, &request)
        case .deleteQuietly: return delete(packet, &request, quietly: true)
        case .increment: return count(packet, base, &request)
        case .incrementQuietly: return count(packet, base, &request, quietly: true)
        case .decrement: return count(packet, base, &request, down: true)
        case .decrementQuietly: return count(packet, base, &request, down: true, quietly: true)
        case .touch:
            request.options.omitsValue = true
            return touch(packet, &request, keys)
        case .getAndTouch: return touch(packet, &request, keys)
        case .getAndTouchQuietly: return touch(packet, &request, keys, quietly: true)
        case .getAndTouchWithKey: return touch(packet, &request, keys, withKey: true)
        case .getAndTouchWithKeyQuietly: return touch(packet, &request, keys, withKey: true, quietly: true)
        case .quit: return bare(packet, &request, .quit)
        case .quitQuietly: return bare(packet, &request, .quit, quietly: true)
        case .noOperation: return bare(packet, &request, .noOperation)
        case .version: return bare(packet, &request, .version)
        case .listMechanisms: return listMechanisms(packet, &request)
        case .flush: return flush(packet, base, &request)
        case .flushQuietly: return flush(packet, base, &request, quietly: true)
        case .statistics: return statistics(packet, &request)
        case .authenticate: return authenticate(packet, &cursor, end, &request)
        case .authenticateFurther:
            request.options.continues = true
            return authenticate(packet, &cursor, end, &request)
        case .set, .setQuietly, nil:
            // The first two are taken already.
            return skip(packet, .unknownCommand)
        }
    }

    /// Notes what is wrong with a packet whose value can be passed over.
    mutating func skip(_ packet: BinaryPacket, _ reply: Reply) -> ParseStep {
        rejection = Rejection(reply: reply, swallowBytes: packet.valueLength)
        return .reject
    }

    /// Notes what is wrong with a packet after which nothing can be read.
    mutating func refuse(_ reply: Reply) -> ParseStep {
        rejection = Rejection(reply: reply, closes: true)
        return .reject
    }
}
