import LarderTesting
import LarderWire
import Testing

@Suite struct TextParserFuzzTests {
    @Test(arguments: 1...8)
    func damagedLines(seed: UInt64) throws {
        var fuzz = ParserFuzz<TextParser>(seed: seed)
        try fuzz.parse(25_000, LineMaker.line) { _ in TextParser() }
    }

    @Test(arguments: 1...8)
    func damagedMetaLines(seed: UInt64) throws {
        var fuzz = ParserFuzz<TextParser>(seed: 2000 + seed)
        try fuzz.parse(25_000, LineMaker.metaLine) { _ in TextParser() }
    }

    @Test(arguments: 1...4, [false, true])
    func cutsMakeNoDifference(seed: UInt64, isMeta: Bool) {
        var fuzz = ParserFuzz<TextParser>(seed: 1000 + seed)
        fuzz.cut(pieces: 3, isMeta ? LineMaker.metaLine : LineMaker.line) { _ in TextParser() }
    }
}

extension TextParser: FuzzedParser {
    /// Beyond this, when a line without an end is given up depends on the cut.
    static var uncutLengthMax: Int { lineLengthMax }

    func isSound(_ step: ParseStep, _ request: Request, before: Int, cursor: Int, end: Int) -> Bool {
        guard before <= cursor, cursor <= end, lineStart + lineLength <= end else {
            return false
        }
        switch step {
        case .needMore: return cursor == before
        case .close: return true
        case .reject: return cursor > before && rejection.swallowBytes >= 0
        case .value, .request, .retrieval, .sets: break
        }
        guard cursor > before else { return false }
        let keyEnd = request.keyStart + request.keyLength
        switch request.verb {
        case .retrieve, .delete, .arithmetic, .touch:
            return request.keyStart >= before && (1...250).contains(request.keyLength) && keyEnd <= cursor
        case .metaGet, .metaStore, .metaDelete, .metaArithmetic, .metaDebug:
            let flagsStart = Int(request.meta.flagsStart)
            let flagsEnd = flagsStart + Int(request.meta.flagsLength)
            let flagsAreInside =
                request.meta.flagsLength == 0
                || flagsStart > keyEnd && request.meta.flagsLength > 0 && flagsEnd <= cursor
            let keyIsInside = request.keyStart >= before && (1...250).contains(request.keyLength) && keyEnd <= cursor
            let decodedFits = (0...187).contains(request.meta.decodedKeyLength)
            guard flagsAreInside, keyIsInside, decodedFits else { return false }
            guard request.verb == .metaStore else { return true }
            let valueEnd = request.valueStart + request.valueLength + 2
            return flagsEnd < request.valueStart
                && (step == .value ? cursor == request.valueStart && valueEnd > end : cursor == valueEnd)
        case .store:
            let valueEnd = request.valueStart + request.valueLength + 2
            return request.keyStart >= before && (1...250).contains(request.keyLength)
                && keyEnd < request.valueStart
                && (step == .value ? cursor == request.valueStart && valueEnd > end : cursor == valueEnd)
        case .statistics, .shutdown, .administration:
            return request.keyStart >= before && request.keyLength >= 0 && keyEnd <= cursor
        case .flushAll, .version, .verbosity, .quit, .noOperation, .listMechanisms, .authenticate, .fetch, .contains,
            .dump:
            return true
        }
    }
}

/// Lines that are nearly right.
private enum LineMaker {
    static let words = [
        "get", "gets", "gat", "gats", "set", "add", "replace", "append", "prepend", "cas", "delete", "incr",
        "decr",
        "touch", "version", "quit", "stats", "watch", "flush_all", "verbosity", "shutdown", "slabs", "lru",
        "lru_crawler", "cache_memlimit", "noreply", "0", "1", "-1", "5", "2147483645", "2147483646",
        "4294967295",
        "18446744073709551615", "18446744073709551616", "9223372036854775808", "-9223372036854775808", "k",
        "key",
        "HTTP/1.1", "", " ", "\t", "\r", "\u{0}", "+", "-",
        String(repeating: "k", count: 250), String(repeating: "k", count: 251),
    ]
    static let lines = [
        "get a b c", "gets key", "gat 10 a b", "set key 1 0 5", "cas key 1 0 5 7", "add key 0 0 5 noreply",
        "incr key 1", "touch key 0 noreply", "delete key 0", "flush_all 10", "verbosity 1", "stats items",
    ]
    static let ends = [
        "\r\n", "\r\n", "\r\n", "\n", "\r\nvalue\r\n", "\r\nvalue\r\n", "\r\nvalu\r\n", "\r", "",
    ]

    static func line(_ random: inout SeededRandom) -> [UInt8] {
        var text = lines.randomElement(using: &random) ?? ""
        if Bool.random(using: &random) {
            let count = Int.random(in: 0...7, using: &random)
            text = (0..<count).map { _ in words.randomElement(using: &random) ?? "" }.joined(separator: " ")
        }
        return damaged(text, &random)
    }

    private static let metaHeads = [
        "mg k", "mg key", "ms key 5", "ms k 5", "ms k 0", "ms k 2147483646", "md key", "ma key", "me key", "mn",
        "mg Zm9v", "ms Zm9v 5", "mg", "ms k", "mx k", "mg " + String(repeating: "k", count: 250),
        "ms " + String(repeating: "k", count: 251) + " 5", "mg " + String(repeating: "Zm9v", count: 62),
    ]
    private static let metaFlags =
        "b c f h k l q s t u v x C E N R T F I M D J O P L".split(separator: " ").map(String.init) + [
            "C5", "E18446744073709551615", "E18446744073709551616", "N30", "N-1", "R30", "T0", "T2147483648",
            "T-2147483649", "F4294967295", "F4294967296", "MS", "ME", "MA", "MP", "MR", "M+", "MD", "MX", "D5",
            "J7", "D-1", "Oopaque", "O" + String(repeating: "o", count: 31),
            "O" + String(repeating: "o", count: 32), "Z", "3", "\u{7f}", "é", "", "  ", "\t", "T\t5", "C+5",
        ]

    static func metaLine(_ random: inout SeededRandom) -> [UInt8] {
        let count = Int.random(in: 0...(Int.random(in: 0...9, using: &random) == 0 ? 24 : 5), using: &random)
        let words =
            [metaHeads.randomElement(using: &random) ?? ""]
            + (0..<count).map { _ in metaFlags.randomElement(using: &random) ?? "" }
        return damaged(words.joined(separator: " "), &random)
    }

    private static func damaged(_ text: String, _ random: inout SeededRandom) -> [UInt8] {
        var bytes = Array((text + (ends.randomElement(using: &random) ?? "")).utf8)
        for _ in 0..<Int.random(in: 0...2, using: &random) where !bytes.isEmpty {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.remove(at: place)
            case 2: bytes.insert([0x20, 0x0a, 0x0d, 0x30].randomElement(using: &random) ?? 0, at: place)
            default: bytes.removeSubrange(place...)
            }
        }
        return bytes
    }
}
