import LarderTesting
import LarderWire
import Testing

@Suite struct BinaryParserTests {
    private static let extras8 = PacketMaker.bytes(UInt32(7)) + PacketMaker.bytes(UInt32(60))
    private static let extras4 = PacketMaker.bytes(UInt32.max)
    private static let extras20 =
        PacketMaker.bytes(UInt64(3)) + PacketMaker.bytes(UInt64(9)) + PacketMaker.bytes(UInt32(60))

    @Test(arguments: [
        (0x00, "retrieve k answersMiss"), (0x09, "retrieve k"), (0x0c, "retrieve k answersMiss wantsKey"),
        (0x0d, "retrieve k wantsKey"), (0x04, "delete k"), (0x14, "delete k quiet"),
    ])
    func keyOnly(opcode: UInt8, words: String) {
        expect(PacketMaker.packet(opcode, key: "k"), [words])
    }

    @Test(arguments: [
        (0x01, "store k set flags=7 exptime=60 value=v"), (0x11, "store k set flags=7 exptime=60 quiet value=v"),
        (0x02, "store k add flags=7 exptime=60 value=v"), (0x12, "store k add flags=7 exptime=60 quiet value=v"),
        (0x03, "store k replace flags=7 exptime=60 value=v"),
        (0x13, "store k replace flags=7 exptime=60 quiet value=v"),
    ])
    func stores(opcode: UInt8, words: String) {
        expect(PacketMaker.packet(opcode, extras: Self.extras8, key: "k", value: [0x76]), [words])
    }

    @Test(arguments: [
        (0x0e, "store k append flags=0 cas=5 value=v"), (0x19, "store k append flags=0 cas=5 quiet value=v"),
        (0x0f, "store k prepend flags=0 cas=5 value=v"), (0x1a, "store k prepend flags=0 cas=5 quiet value=v"),
    ])
    func extends(opcode: UInt8, words: String) {
        expect(PacketMaker.packet(opcode, key: "k", value: [0x76], cas: 5), [words])
    }

    @Test(arguments: [
        (0x05, "arithmetic k exptime=60 3 from 9 creates"), (0x15, "arithmetic k exptime=60 3 from 9 quiet creates"),
        (0x06, "arithmetic k exptime=60 3 from 9 creates down"),
        (0x16, "arithmetic k exptime=60 3 from 9 quiet creates down"),
    ])
    func counts(opcode: UInt8, words: String) {
        expect(PacketMaker.packet(opcode, extras: Self.extras20, key: "k"), [words])
    }

    @Test(arguments: [
        (0x1c, "retrieve k exptime=4294967295 answersMiss omitsValue touches"),
        (0x1d, "retrieve k exptime=4294967295 answersMiss touches"),
        (0x1e, "retrieve k exptime=4294967295 touches"),
        (0x23, "retrieve k exptime=4294967295 answersMiss wantsKey touches"),
        (0x24, "retrieve k exptime=4294967295 wantsKey touches"),
    ])
    func touches(opcode: UInt8, words: String) {
        expect(PacketMaker.packet(opcode, extras: Self.extras4, key: "k"), [words])
    }

    @Test func theServer() {
        expect(
            PacketMaker.packet(0x0a) + PacketMaker.packet(0x0b) + PacketMaker.packet(0x08)
                + PacketMaker.packet(0x18, extras: PacketMaker.bytes(UInt32(5)))
                + PacketMaker.packet(0x10, key: "items") + PacketMaker.packet(0x17),
            [
                "noOperation", "version", "flushAll", "flushAll exptime=5 quiet hasExptime", "statistics items",
                "quit quiet",
            ])
    }

    @Test func authentication() {
        let input =
            PacketMaker.packet(0x20) + PacketMaker.packet(0x21, key: "PLAIN", value: [0x61])
            + PacketMaker.packet(0x22, key: "PLAIN") + PacketMaker.packet(0x0b) + PacketMaker.packet(0x00, key: "k")
        expect(
            input,
            [
                "listMechanisms", "authenticate PLAIN value=a", "authenticate PLAIN continues value=", "version",
                "reject authenticationFailure closes",
            ], offersAuthentication: true)
        expect(
            PacketMaker.packet(0x20) + PacketMaker.packet(0x21, key: "PLAIN", value: [0x61]) + PacketMaker.packet(0x0a),
            ["reject unknownCommand", "reject unknownCommand", "noOperation"])
    }

    @Test func numbersThatSayNotToCreate() {
        let extras = Array(Self.extras20.dropLast(4)) + Self.extras4
        expect(PacketMaker.packet(0x05, extras: extras, key: "k"), ["arithmetic k exptime=4294967295 3 from 9"])
    }

    @Test func whatTheAnswerRepeats() {
        var request = Request()
        var parser = BinaryParser()
        var cursor = 0
        let input = PacketMaker.packet(0x0c, key: "k", opaque: 0x0102_0304)
        #expect(parser.next(input, cursor: &cursor, end: input.count, request: &request) == .request)
        #expect(request.packetTag.opcode == 0x0c)
        #expect(request.packetTag.opaque.bigEndian == 0x0102_0304)
        #expect(request.keyStart == 24 && request.keyLength == 1 && cursor == 25)
    }

    /// Every opcode with every length of extras, with and without a key and a value: what is not exactly right
    /// is refused, and nothing is carried out.
    @Test func lengthsOfExtras() {
        let right: [UInt8: Set<Int>] = [
            0x00: [0], 0x09: [0], 0x0c: [0], 0x0d: [0], 0x04: [0], 0x14: [0], 0x0e: [0], 0x0f: [0], 0x19: [0],
            0x1a: [0], 0x01: [8], 0x02: [8], 0x03: [8], 0x11: [8], 0x12: [8], 0x13: [8], 0x05: [20], 0x06: [20],
            0x15: [20], 0x16: [20], 0x1c: [4], 0x1d: [4], 0x1e: [4], 0x23: [4], 0x24: [4], 0x10: [0],
        ]
        for (opcode, lengths) in right {
            for length in 0...255 where !lengths.contains(length) {
                let input = PacketMaker.packet(opcode, extras: [UInt8](repeating: 0, count: length), key: "k")
                #expect(BinaryScript.steps(input) == ["reject badCommandLine closes"], "\(opcode), \(length)")
            }
        }
    }

    @Test func hostileLengths() {
        for opcode in UInt8.min...UInt8.max {
            let short = PacketMaker.packet(opcode, key: "key", bodyLength: 2)
            expect(short, ["reject unknownCommand closes"])
            let long = PacketMaker.packet(opcode, key: "key", bodyLength: 0x4000_0001)
            expect(long, ["reject badCommandLine closes"])
            let longKey = PacketMaker.packet(opcode, key: String(repeating: "k", count: 251))
            expect(longKey, ["reject badCommandLine closes"])
            expect(PacketMaker.packet(opcode, keyLength: 0xffff, extrasLength: 0xff), ["close"])
            expect(PacketMaker.packet(opcode, magic: 0x81), ["close"])
        }
    }

    @Test func parserIsSmall() {
        #expect(MemoryLayout<BinaryParser>.size <= 48)
    }

    private func expect(
        _ input: [UInt8], _ steps: [String], offersAuthentication: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let parser = BinaryParser(offersAuthentication: offersAuthentication)
        #expect(
            BinaryScript.steps(input, by: parser) == steps,
            sourceLocation: sourceLocation)
        guard input.count < 200 else { return }
        for cut in 1..<input.count {
            let cutSteps = BinaryScript.steps(input, cuts: [cut], by: parser)
            #expect(cutSteps == steps, "cut at \(cut)", sourceLocation: sourceLocation)
        }
    }
}
