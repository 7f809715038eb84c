import LarderTesting
import Testing

@testable import LarderWire

/// `mg` lines that are taken in batches are what `next` would have found.
@Suite struct MetaBatchTests {
    private struct Get: Equatable {
        var key: [UInt8]
        var flags: [UInt8]
        var isQuiet: Bool
        var wantsCas: Bool
    }

    /// Lines that are plain, nearly plain, or end where they should not; few kinds, so that most flags come again.
    private static func lines(_ random: inout SeededRandom) -> [UInt8] {
        let flags = [
            "v", "v", "v q k", "k v f", "s v c", "v Oabc", "v O" + String(repeating: "o", count: 31), "v k q f s c O1",
            "v v", "k", "v x", "v\nk", " v", "v ", "v t", "vk", "q k v\r", "",
        ]
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...30, using: &random) {
            let key = String(repeating: "k", count: Int.random(in: 1...3, using: &random))
            let separator = [" ", " ", " ", " ", "\n", "  ", "\r\n"][Int.random(in: 0...6, using: &random)]
            let end = Int.random(in: 0...9, using: &random) == 0 ? "\n" : "\r\n"
            bytes += Array("mg \(key)\(separator)\(flags[Int.random(in: 0..<flags.count, using: &random)])\(end)".utf8)
        }
        return bytes
    }

    private static func has(_ letter: Unicode.Scalar, _ request: Request) -> Bool {
        request.meta.flags.bits &>> UInt64(UInt8(ascii: letter) - 64) & 1 == 1
    }

    /// What `next` finds where the cursor is; nil for anything but an `mg` that asks for the value.
    private static func byNext(_ base: UnsafePointer<UInt8>, _ cursor: inout Int, _ end: Int) -> Get? {
        var parser = TextParser()
        var request = Request()
        guard case .request = parser.next(base, cursor: &cursor, end: end, request: &request),
            case .metaGet = request.verb, has("v", request)
        else { return nil }
        func bytes(_ start: Int, _ count: Int) -> [UInt8] {
            Array(UnsafeBufferPointer(start: base + start, count: count))
        }
        return Get(
            key: bytes(request.keyStart, request.keyLength),
            flags: bytes(Int(request.meta.flagsStart), Int(request.meta.flagsLength)), isQuiet: has("q", request),
            wantsCas: has("c", request))
    }

    @Test func batchesAreWhatNextFinds() {
        let seed = UInt64.random(in: 1...UInt64(UInt32.max))
        print("meta batches: seed \(seed)")
        var random = SeededRandom(seed: seed)
        var taken = 0
        // One parser for all, so that what it remembers of one line meets every other.
        var parser = TextParser()
        let room = StepRoom()
        let keys = room.keys
        defer { room.deallocate() }
        for round in 0..<3_000 {
            let bytes = Self.lines(&random)
            let end =
                Int.random(in: 0...3, using: &random) == 0
                ? Int.random(in: 0...bytes.count, using: &random) : bytes.count
            // An allocation of its own size, so that a read behind it is one that a sanitizer sees.
            bytes.withUnsafeBufferPointer { buffer in
                let base = buffer.baseAddress!
                var cursor = 0
                while cursor < end {
                    let start = cursor
                    let before = parser
                    var request = Request()
                    let countMax = Int.random(in: 2...16, using: &random)
                    let step = parser.next(
                        base, cursor: &cursor, end: end, request: &request, room: room, countMax: countMax)
                    var count = 0
                    if case .retrieval = step, case .meta = parser.taken.form {
                        count = parser.taken.count
                    } else {
                        (cursor, parser) = (start, before)
                    }
                    var place = start
                    var someWantCas = false
                    for key in 0..<count {
                        guard keys[key].requestStart == place, let expected = Self.byNext(base, &place, end) else {
                            Issue.record(
                                "seed \(seed), round \(round): next finds nothing at byte \(place) of \(bytes)")
                            return
                        }
                        someWantCas = someWantCas || expected.wantsCas
                        let get = Get(
                            key: Array(buffer[keys[key].start..<keys[key].start + keys[key].length]),
                            flags: Array(
                                buffer[keys[key].flagsStart..<keys[key].flagsStart + Int(keys[key].flagsLength)]),
                            isQuiet: keys[key].isQuiet, wantsCas: expected.wantsCas)
                        #expect(get == expected, "seed \(seed), round \(round)")
                    }
                    #expect(count == 0 || parser.taken.wantsCas == someWantCas, "seed \(seed), round \(round)")
                    #expect(place == cursor, "seed \(seed), round \(round)")
                    taken += count
                    // What is left to `next` begins here; on with the line behind it.
                    while cursor < end, count == 0, buffer[cursor] != 0x0a { cursor += 1 }
                    if count == 0 { cursor += 1 }
                }
            }
        }
        #expect(taken > 5_000)
    }
}
