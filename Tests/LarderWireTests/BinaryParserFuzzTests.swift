import Glibc
import LarderTesting
import LarderWire
import Testing

/// No value is longer than a body may be, besides.
///
/// `LARDER_FUZZ_PACKETS` says how many packets each seed sends (25,000 without it).
@Suite struct BinaryParserFuzzTests {
    private static let packetCount = getenv("LARDER_FUZZ_PACKETS").flatMap { Int(String(cString: $0)) } ?? 25_000

    @Test(arguments: 1...8)
    func damagedPackets(seed: UInt64) throws {
        var fuzz = ParserFuzz<BinaryParser>(seed: seed)
        try fuzz.parse(Self.packetCount, DamagedPacket.make) { random in
            var parser = BinaryParser(offersAuthentication: random.chance(1, in: 3))
            if parser.offersAuthentication { parser.isAuthenticated = random.chance(1, in: 2) }
            return parser
        }
    }

    @Test(arguments: 1...4)
    func cutsMakeNoDifference(seed: UInt64) {
        var fuzz = ParserFuzz<BinaryParser>(seed: 2000 + seed)
        fuzz.cut(pieces: 4, DamagedPacket.make) { random in
            BinaryParser(offersAuthentication: random.chance(1, in: 4))
        }
    }
}

extension BinaryParser: FuzzedParser {
    static var uncutLengthMax: Int { .max }

    func isSound(_ step: ParseStep, _ request: Request, before: Int, cursor: Int, end: Int) -> Bool {
        guard before <= cursor, cursor <= end, packetStart + BinaryParser.headerLength <= max(end, 24) else {
            return false
        }
        switch step {
        case .needMore: return cursor == before
        case .close: return true
        case .reject: return cursor > before && (0...BinaryParser.bodyLengthMax).contains(rejection.swallowBytes)
        case .value, .request, .retrieval, .sets: break
        }
        guard cursor >= before + BinaryParser.headerLength, request.keyStart >= before + BinaryParser.headerLength,
            (0...250).contains(request.keyLength), request.keyStart + request.keyLength <= cursor
        else { return false }
        switch request.verb {
        case .retrieve, .delete, .arithmetic: return request.keyLength > 0
        case .store, .authenticate:
            let valueEnd = request.valueStart + request.valueLength
            let limit = request.verb == .store ? BinaryParser.bodyLengthMax : BinaryParser.authenticationLengthMax
            return request.keyLength > 0 && (0...limit).contains(request.valueLength)
                && request.valueStart == request.keyStart + request.keyLength
                && (step == .value ? cursor == request.valueStart && valueEnd > end : cursor == valueEnd)
        default: return true
        }
    }
}

/// Packets that are nearly right.
private enum DamagedPacket {
    static func make(_ random: inout SeededRandom) -> [UInt8] {
        let opcode =
            random.chance(9, in: 10)
            ? UInt8.random(in: 0...0x26, using: &random) : UInt8.random(in: 0...255, using: &random)
        let extras = [UInt8](repeating: 0xff, count: random.pick([0, 0, 0, 4, 8, 8, 20, 255]))
        let key = String(repeating: "k", count: random.pick([0, 1, 1, 5, 249, 250, 251, 300]))
        let value = [UInt8](repeating: 0x80, count: random.pick([0, 0, 1, 24, 100]))
        var bytes = PacketMaker.packet(
            opcode, extras: extras, key: key, value: value, opaque: random.pick([0, 1, UInt32.max]),
            cas: random.pick([0, 1, UInt64.max]))
        for _ in 0..<random.pick([0, 0, 1, 1, 2, 5]) where !bytes.isEmpty {
            // Mostly in the header, and there in the lengths.
            let place =
                random.chance(3, in: 4)
                ? random.pick([0, 1, 2, 3, 4, 5, 8, 9, 10, 11]) : Int.random(in: 0..<bytes.count, using: &random)
            guard place < bytes.count else { continue }
            switch Int.random(in: 0..<5, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 2: bytes[place] = random.pick([0, 1, 0x7f, 0x80, 0xff])
            case 3: bytes.remove(at: place)
            default: if random.chance(1, in: 4) { bytes.removeSubrange(place...) }
            }
        }
        return bytes
    }
}
