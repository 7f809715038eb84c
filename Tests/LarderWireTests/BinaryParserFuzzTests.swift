import Glibc
import LarderTesting
import LarderWire
import Testing

/// Random and damaged packets: nothing traps, no call reads or points outside the buffer, every call gets on,
/// no value is longer than a body may be, and where the input is cut makes no difference.
///
/// `LARDER_FUZZ_PACKETS` says how many packets each seed sends (25,000 without it).
@Suite struct BinaryParserFuzzTests {
    private static let packetCount = getenv("LARDER_FUZZ_PACKETS").flatMap { Int(String(cString: $0)) } ?? 25_000

    @Test(arguments: 1...8)
    func damagedPackets(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        var packets = 0
        while packets < Self.packetCount {
            let count = Int.random(in: 1...6, using: &random)
            packets += count
            var input: [UInt8] = []
            for _ in 0..<count { input += DamagedPacket.make(&random) }
            try run(input, &random, seed: seed)
        }
    }

    @Test(arguments: 1...4)
    func cutsMakeNoDifference(seed: Int) {
        var random = SeededRandom(seed: UInt64(2000 + seed))
        for _ in 0..<1000 {
            var input: [UInt8] = []
            for _ in 0..<4 { input += DamagedPacket.make(&random) }
            let authenticates = random.chance(1, in: 4)
            let whole = BinaryScript.steps(input, offersAuthentication: authenticates)
            let cuts = (0..<4).map { _ in Int.random(in: 0...input.count, using: &random) }.sorted()
            let same = BinaryScript.steps(input, cuts: cuts, offersAuthentication: authenticates) == whole
            #expect(same, "seed \(seed), cuts \(cuts), input \(input)")
            if !same { return }
        }
    }

    /// Drives one parser over `input`, which arrives in pieces.
    private func run(_ input: [UInt8], _ random: inout SeededRandom, seed: Int) throws {
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, input.count))
        defer { base.deallocate() }
        base.initialize(from: input, count: input.count)
        var parser = BinaryParser()
        parser.offersAuthentication = random.chance(1, in: 3)
        parser.isAuthenticated = !parser.offersAuthentication || random.chance(1, in: 2)
        var request = Request()
        var cursor = 0
        var end = Int.random(in: 0...input.count, using: &random)
        while true {
            let before = cursor
            let step = parser.next(base, cursor: &cursor, end: end, request: &request)
            let isSound = Self.isSound(step, request, parser, before: before, cursor: cursor, end: end)
            try #require(isSound, "seed \(seed), \(step) at \(before), input \(input)")
            switch step {
            case .needMore:
                if end == input.count { return }
                end = Int.random(in: (end + 1)...input.count, using: &random)
            case .close:
                return
            case .reject:
                if parser.rejection.closes { return }
                cursor = min(cursor + parser.rejection.swallowBytes, end)
            case .value:
                cursor = min(cursor + request.valueLength, end)
            case .request, .retrieval, .sets:
                break
            }
        }
    }

    private static func isSound(
        _ step: ParseStep, _ request: Request, _ parser: BinaryParser, before: Int, cursor: Int, end: Int
    ) -> Bool {
        guard before <= cursor, cursor <= end, parser.packetStart + BinaryParser.headerLength <= max(end, 24) else {
            return false
        }
        switch step {
        case .needMore: return cursor == before
        case .close: return true
        case .reject: return cursor > before && (0...BinaryParser.bodyLengthMax).contains(parser.rejection.swallowBytes)
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
