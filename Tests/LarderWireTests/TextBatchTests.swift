import LarderTesting
import Testing

@testable import LarderWire

/// What is taken in batches, or in the plain form, is what `next` would have found.
@Suite struct TextBatchTests {
    /// A key of a retrieval, and whether `END` follows it.
    private struct Key: Equatable {
        var bytes: [UInt8]
        var isLast: Bool
    }

    private static func word(_ random: inout SeededRandom, _ lengths: ClosedRange<Int>) -> [UInt8] {
        // Every byte but a space and a newline may be in a key; a carriage return too, but for the last.
        (0..<Int.random(in: lengths, using: &random)).map { _ in
            let byte = UInt8(Int.random(in: 0...255, using: &random))
            return byte == 0x20 || byte == 0x0a ? 0x41 : byte
        } + [UInt8(ascii: "k")]
    }

    /// Lines of `get`, plain and not so plain.
    private static func lines(_ random: inout SeededRandom) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...40, using: &random) {
            bytes += Array(["get ", "get ", "get ", "gets ", "get  "][Int.random(in: 0...4, using: &random)].utf8)
            let count = Int.random(in: 0...3, using: &random) == 0 ? Int.random(in: 1...60, using: &random) : 1
            for place in 0..<count {
                if place > 0 {
                    bytes += [UInt8](repeating: 0x20, count: Int.random(in: 0...9, using: &random) == 0 ? 3 : 1)
                }
                bytes += word(&random, Int.random(in: 0...20, using: &random) == 0 ? 200...249 : 0...40)
            }
            if Int.random(in: 0...9, using: &random) == 0 { bytes.append(0x20) }
            bytes += Int.random(in: 0...5, using: &random) == 0 ? [0x0a] : [0x0d, 0x0a]
        }
        return bytes
    }

    private func keysByNext(_ bytes: [UInt8]) -> [Key] {
        var parser = TextParser()
        var request = Request()
        var cursor = 0
        var keys: [Key] = []
        bytes.withUnsafeBufferPointer { buffer in
            while cursor < buffer.count {
                guard
                    case .request = parser.next(
                        buffer.baseAddress!, cursor: &cursor, end: buffer.count, request: &request)
                else { break }
                keys.append(
                    Key(
                        bytes: Array(buffer[request.keyStart..<request.keyStart + request.keyLength]),
                        isLast: request.options.lastOfRetrieval))
            }
        }
        return keys
    }

    /// Takes batches of any size of what has arrived so far, and gives some keys back.
    private func keysByBatch(_ bytes: [UInt8], _ random: inout SeededRandom) -> [Key] {
        var parser = TextParser()
        var request = Request()
        var cursor = 0
        var keys: [Key] = []
        var end = 0
        let room = StepRoom()
        defer { room.deallocate() }
        bytes.withUnsafeBufferPointer { buffer in
            let base = buffer.baseAddress!
            while cursor < buffer.count {
                let before = cursor
                let countMax = Int.random(in: 1...16, using: &random)
                let step = parser.next(
                    base, cursor: &cursor, end: end, request: &request, room: room, countMax: countMax)
                switch step {
                case .retrieval:
                    let count = parser.taken.count
                    let kept =
                        Int.random(in: 0...2, using: &random) == 0 ? Int.random(in: 0...count, using: &random) : count
                    if kept < count { parser.giveBack(room.keys[kept], isFirst: kept == 0, cursor: &cursor) }
                    for key in 0..<kept {
                        let range = room.keys[key].start..<room.keys[key].start + room.keys[key].length
                        keys.append(Key(bytes: Array(buffer[range]), isLast: room.keys[key].isLast))
                    }
                case .needMore:
                    #expect(cursor == before)
                    guard end < buffer.count else { return }
                    end = min(buffer.count, end + Int.random(in: 1...200, using: &random))
                default: return
                }
            }
        }
        return keys
    }

    @Test(arguments: 1...300)
    func batchesAreWhatNextFinds(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed))
        let bytes = Self.lines(&random)
        let expected = keysByNext(bytes)
        #expect(!expected.isEmpty)
        let isSame = keysByBatch(bytes, &random) == expected
        #expect(isSame, "seed \(seed)")
    }

    /// Lines of `set`, most of them plain, many with something changed.
    private static func set(_ random: inout SeededRandom) -> [UInt8] {
        let value = [UInt8](repeating: UInt8(ascii: "v"), count: Int.random(in: 0...30, using: &random))
        func number(_ plain: [String]) -> String { plain[Int.random(in: 0...plain.count - 1, using: &random)] }
        var line = Array("set ".utf8) + word(&random, Int.random(in: 0...9, using: &random) == 0 ? 240...260 : 0...30)
        let flags = number(["0", "0", "1", "4294967295", "4294967296", "007", "-1", "999999999", "1234567890"])
        let exptime = number(["0", "0", "60", "-1", "2592001", "+5", "4294967296", "x", ""])
        let length = number([
            "\(value.count)", "\(value.count)", "\(value.count)", "0\(value.count)", "-1", "\(value.count + 1)",
        ])
        line += Array(" \(flags) \(exptime) \(length)".utf8)
        if Int.random(in: 0...5, using: &random) == 0 { line += Array(" noreply".utf8) }
        line += Int.random(in: 0...9, using: &random) == 0 ? [0x0a] : [0x0d, 0x0a]
        var all = line + value + [0x0d, 0x0a]
        if Int.random(in: 0...3, using: &random) == 0 {
            // The word itself is the caller's to know.
            let place = Int.random(in: 4...all.count - 1, using: &random)
            all[place] = UInt8(Int.random(in: 0...255, using: &random))
        }
        return Array(
            all.prefix(
                Int.random(in: 0...9, using: &random) == 0 ? Int.random(in: 0...all.count, using: &random) : all.count))
    }

    @Test func plainSetsAreWhatNextFinds() {
        let seed = UInt64.random(in: 1...UInt64(UInt32.max))
        print("plain sets: seed \(seed)")
        var random = SeededRandom(seed: seed)
        var taken = 0
        let room = UnsafeMutablePointer<ArrivedSet>.allocate(capacity: 1)
        room.initialize(to: ArrivedSet())
        defer { room.deallocate() }
        for round in 0..<20_000 {
            let bytes = Self.set(&random)
            guard bytes.starts(with: "set ".utf8) else { continue }
            bytes.withUnsafeBufferPointer { buffer in
                let base = buffer.baseAddress!
                var plain = TextParser()
                var cursor = 0
                guard plain.takeSet(base, cursor: &cursor, end: buffer.count, room) else {
                    #expect(cursor == 0)
                    return
                }
                taken += 1
                var parser = TextParser()
                var request = Request()
                var place = 0
                guard case .request = parser.next(base, cursor: &place, end: buffer.count, request: &request),
                    case .store = request.verb
                else {
                    Issue.record("seed \(seed), round \(round): next refuses \(bytes)")
                    return
                }
                let set = room.pointee
                let isSame =
                    place == cursor && request.storeMode == .set && !request.options.noReply
                    && request.keyStart == set.keyStart && request.keyLength == set.keyLength
                    && request.clientFlags == set.clientFlags && request.exptime == set.exptime
                    && request.valueStart == set.valueStart && request.valueLength == set.valueLength
                #expect(isSame, "seed \(seed), round \(round): \(bytes)")
            }
        }
        #expect(taken > 1000)
    }
}
