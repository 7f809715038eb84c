import LarderTesting
import Testing

@testable import LarderWire

/// uWSGI's dump of a cache: its bytes, and what the decoder makes of damaged ones.
@Suite struct DumpDecoderTests {
    private struct Read: Equatable {
        var key: [UInt8]
        var value: [UInt8]?
        var clientFlags: UInt32
        var expires: UInt64
        var hits: UInt64

        init(_ key: String, _ value: [UInt8]?, flags: UInt32 = 0, expires: UInt64 = 0, hits: UInt64 = 0) {
            (self.key, self.value, clientFlags) = (Array(key.utf8), value, flags)
            (self.expires, self.hits) = (expires, hits)
        }
        init(_ item: DumpItem) {
            (key, value, clientFlags) = (Array(item.key), item.value.map { Array($0) }, item.clientFlags)
            (expires, hits) = (item.expires, item.hits)
        }
    }

    private static let plain = DumpLayout(items: 6, blockBytes: 16, blocks: 6, keyBytesMax: 12, isBitmap: false)
    private static let bitmap = DumpLayout(items: 6, blockBytes: 16, blocks: 9, keyBytesMax: 12, isBitmap: true)

    /// A dump that has these items in the slots from 1 on.
    private func dump(_ layout: DumpLayout, _ items: [Read], _ change: (Int, inout DumpRecord) -> Void = { _, _ in })
        -> [UInt8]
    {
        var records = [UInt8](repeating: 0, count: layout.recordsLength)
        var blocks = [UInt8](repeating: 0, count: layout.dataLength)
        var next = 0
        for (place, item) in items.enumerated() {
            let value = item.value ?? []
            var record = DumpRecord()
            record.keyLength = UInt64(item.key.count)
            record.flags = UInt64(item.clientFlags) << 32 | 2
            record.hash = UInt64(item.key.withUnsafeBytes { UwsgiHash.djb33x.value(of: $0) })
            record.valueLength = UInt64(value.count)
            record.firstBlock = UInt64(layout.isBitmap ? next : place + 1)
            record.expires = item.expires
            record.hits = item.hits
            blocks.replaceSubrange(
                Int(record.firstBlock) * layout.blockBytes..<Int(record.firstBlock) * layout.blockBytes + value.count,
                with: value)
            next += layout.blockCount(ofValueLength: value.count)
            change(place, &record)
            let start = (place + 1) * layout.recordLength
            records.withUnsafeMutableBytes { bytes in
                record.write(to: UnsafeMutableRawBufferPointer(rebasing: bytes[start...]))
            }
            records.replaceSubrange(start + 88..<start + 88 + item.key.count, with: item.key)
        }
        return DumpPacket.answer(layout) + records + blocks
    }

    private struct Outcome: Equatable {
        var items: [Read] = []
        var isComplete = false
        var refusal: DumpRefusal?
    }

    /// Reads a dump in pieces, each in memory of its own.
    private func read(
        _ layout: DumpLayout, _ pieces: [ArraySlice<UInt8>], valueLengthMax: Int = 1 << 20, checksHashes: Bool = true
    ) -> Outcome {
        var decoder = DumpDecoder(layout, valueLengthMax: valueLengthMax, checksHashes: checksHashes)
        var outcome = Outcome()
        for piece in pieces {
            do throws(DumpRefusal) {
                try Array(piece).withUnsafeBufferPointer { (bytes) throws(DumpRefusal) in
                    try decoder.take(UnsafeRawBufferPointer(bytes)) { outcome.items.append(Read($0)) }
                }
            } catch {
                outcome.refusal = error
                break
            }
        }
        outcome.isComplete = decoder.isComplete
        return outcome
    }

    private let small = [
        Read("k", Array("v".utf8), expires: 1_795_226_276, hits: 3),
        Read("twelve bytes", Array(repeating: 7, count: 16), flags: 0x0102_0304), Read("empty", []),
        Read("b\u{1}", Array(1...15), expires: 100),
    ]
    private let large = [Read("a", Array(1...40)), Read("b", []), Read("c", Array(1...48), flags: 9)]

    private var examples: [(layout: DumpLayout, items: [Read])] {
        [(Self.plain, small), (Self.bitmap, large), (Self.plain, [])]
    }

    // MARK: The layout

    @Test func theHeaderAsUwsgiSendsIt() {
        let layout = DumpLayout(items: 8, blockBytes: 16, blocks: 8, keyBytesMax: 32, isBitmap: false)
        #expect(DumpPacket.answer(layout) == hex("6f1900070500 6974656d73 0100 38 0900 626c6f636b73697a65 0200 3136"))
        #expect(DumpPacket.request(cacheName: "c") == hex("6f01000663"))
        #expect(layout.recordsLength + layout.dataLength == (88 + 32) * 8 + 16 * 8)
    }

    @Test func theHashes() {
        func value(_ hash: UwsgiHash, _ key: [UInt8]) -> UInt32 { key.withUnsafeBytes { hash.value(of: $0) } }
        // Seen on a real uWSGI.
        #expect(value(.murmur2, Array("hello".utf8)) == 0x941b_0d8a)
        #expect(value(.murmur2, Array("a".utf8)) == 0x9268_5f5e)
        #expect(value(.djb33x, Array("k".utf8)) == 0x2b5ce)
        #expect(value(.murmur2, [0xfe, 0xfd, 0xfc, 0xfb, 0x80, 0x6b]) == 964_792_701)
        #expect(value(.murmur2, [255, 128, 1]) == 1_397_589_984)
        // Bytes count as signed.
        #expect(value(.djb33x, [0xff, 0x80, 0x6b]) == 0xb86_ad31)
        #expect(value(.djb33x, []) == 5381)
    }

    @Test func aRecord() {
        var record = DumpRecord()
        (record.flags, record.keyLength, record.hash, record.valueLength, record.firstBlock) = (1, 2, 3, 4, 5)
        (record.expires, record.hits, record.previous, record.next) = (6, 7, 8, 9)
        (record.previousUsed, record.nextUsed) = (10, 11)
        var bytes = [UInt8](repeating: 0xff, count: 88)
        bytes.withUnsafeMutableBytes { record.write(to: $0) }
        #expect(bytes == (1...11).flatMap { [UInt8($0)] + [UInt8](repeating: 0, count: 7) })
        #expect(bytes.withUnsafeBytes { DumpRecord($0) } == record)
    }

    // MARK: Reading

    @Test func cutsAtEveryByte() {
        for (layout, items) in examples {
            let bytes = dump(layout, items)
            let whole = Outcome(items: items, isComplete: true)
            #expect(read(layout, [bytes[...]]) == whole)
            #expect(read(layout, bytes.indices.map { bytes[$0...$0] }) == whole)
            for cut in bytes.indices where read(layout, [bytes[..<cut], bytes[cut...]]) != whole {
                Issue.record("a dump that is cut at byte \(cut)")
            }
        }
    }

    /// One that ends early hands on items that are whole, and does not count as complete.
    @Test func endsAtEveryByte() {
        for (layout, items) in examples {
            let bytes = dump(layout, items)
            for length in bytes.indices {
                let outcome = read(layout, [bytes[..<length]])
                #expect(outcome.refusal == nil && outcome.items == Array(items.prefix(outcome.items.count)))
                #expect(!outcome.isComplete || outcome.items == items, "ended after \(length) bytes")
            }
        }
    }

    /// A flipped bit is refused, or changes an item, or has no meaning. It never traps or makes an item too many.
    @Test func everyFlippedBit() {
        for (layout, items) in examples {
            let bytes = dump(layout, items)
            var refused = 0
            for bit in 0..<bytes.count * 8 {
                var damaged = bytes
                damaged[bit / 8] ^= 1 << UInt8(bit % 8)
                let cut = bit * 31 % bytes.count
                for checksHashes in [true, false] {
                    let outcome = read(layout, [damaged[..<cut], damaged[cut...]], checksHashes: checksHashes)
                    #expect(outcome.items.count <= layout.items)
                    if outcome.refusal != nil {
                        refused += 1
                        #expect(outcome.items.isEmpty, "an item of a dump that is refused")
                    }
                    // Keys come through as they were: the hash tells.
                    guard checksHashes else { continue }
                    for item in outcome.items { #expect(items.contains { $0.key == item.key }) }
                }
            }
            #expect(refused > 0)
        }
    }

    @Test func randomBytesBehindAHeader() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var numbers = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let layout = Bool.random(using: &numbers) ? Self.plain : Self.bitmap
            var bytes = dump(layout, layout.isBitmap ? large : small)
            for _ in 0..<Int.random(in: 1...20, using: &numbers) {
                // Mostly the numbers of records.
                let place = Int.random(in: 0..<bytes.count, using: &numbers)
                bytes[place] = [0, 1, 0x7f, 0x80, 0xff].randomElement(using: &numbers) ?? 0
            }
            let cut = Int.random(in: 0...bytes.count, using: &numbers)
            let outcome = read(layout, [bytes[..<cut], bytes[cut...]], checksHashes: false)
            #expect(outcome.items.count <= layout.items, "seed \(seed)")
        }
    }

    // MARK: What is refused or left out

    @Test func anotherGeometry() {
        let other = DumpLayout(items: 7, blockBytes: 16, blocks: 7, keyBytesMax: 12, isBitmap: false)
        #expect(read(Self.plain, [dump(other, small)[...]]).refusal == .geometry(items: 7, blockBytes: 16))
        let blocks = DumpLayout(items: 6, blockBytes: 32, blocks: 6, keyBytesMax: 12, isBitmap: false)
        #expect(read(Self.plain, [dump(blocks, small)[...]]).refusal == .geometry(items: 6, blockBytes: 32))
        // What the header does not tell shows in the first record that is out of place.
        let keys = DumpLayout(items: 6, blockBytes: 16, blocks: 6, keyBytesMax: 20, isBitmap: false)
        guard case .record = read(Self.plain, [dump(keys, small)[...]]).refusal else {
            Issue.record("a dump of another keysize is taken")
            return
        }
    }

    @Test func headersThatAreNone() {
        for text in [
            "6f000007", "6fffff07", "6f1900070500 6974656d73 0100 78 0900 626c6f636b73697a65 0200 3136",
            "6f0a00070500 6974656d73 0100 38", "6f02000700ff",
        ] {
            let bytes = hex(text) + [UInt8](repeating: 0, count: 64)
            #expect(read(Self.plain, [bytes[...]]).refusal == .header, "\(text)")
            #expect(read(Self.plain, bytes.map { [$0] }).refusal == .header, "\(text)")
        }
    }

    @Test func recordsOutOfRange() {
        let changes: [(DumpLayout, [Read], (inout DumpRecord) -> Void)] = [
            (Self.plain, small, { $0.keyLength = 13 }), (Self.plain, small, { $0.keyLength = .max }),
            (Self.plain, small, { $0.valueLength = 17 }), (Self.plain, small, { $0.valueLength = .max }),
            (Self.plain, small, { $0.firstBlock = 6 }), (Self.plain, small, { $0.firstBlock = 1 << 63 }),
            (Self.plain, small, { $0.firstBlock = 2 }), (Self.plain, small, { $0.hash ^= 1 << 40 }),
            (Self.bitmap, large, { $0.valueLength = 9 * 16 + 1 }), (Self.bitmap, large, { $0.firstBlock = 3 }),
        ]
        for (place, (layout, items, change)) in changes.enumerated() {
            let bytes = dump(layout, items) { slot, record in if slot == 0 { change(&record) } }
            let outcome = read(layout, [bytes[...]])
            guard case .record = outcome.refusal else {
                Issue.record("change \(place) is taken")
                continue
            }
            #expect(outcome.items.isEmpty)
        }
    }

    /// As real ones are behind a delete, with and without `purge_lru`.
    @Test func freeSlotsOfUwsgi() {
        let deleted = dump(Self.plain, small) { slot, record in
            guard slot == 1 else { return }
            record = DumpRecord()
            (record.firstBlock, record.previousUsed, record.nextUsed) = (2, 4, 5)
        }
        #expect(read(Self.plain, [deleted[...]]).items == [small[0], small[2], small[3]])
        let other = dump(Self.plain, small) { slot, record in if slot == 1 { record.keyLength = 0 } }
        #expect(read(Self.plain, [other[...]]).refusal == .record(slot: 2))
    }

    @Test func whatNoClientGetsAndWhatIsTooLong() {
        let hidden = dump(Self.plain, small) { slot, record in if slot == 1 { record.flags |= 1 } }
        #expect(read(Self.plain, [hidden[...]]).items == [small[0], small[2], small[3]])
        var without = small
        without[1].value = nil
        for pieces in [[dump(Self.plain, small)[...]], dump(Self.plain, small).map { [$0] }] {
            let outcome = read(Self.plain, pieces, valueLengthMax: 15)
            #expect(outcome == Outcome(items: without, isComplete: true))
        }
    }

    private func hex(_ text: String) -> [UInt8] {
        let digits = text.filter { $0 != " " }
        return stride(from: 0, to: digits.count, by: 2).compactMap { place in
            let start = digits.index(digits.startIndex, offsetBy: place)
            return UInt8(digits[start..<digits.index(start, offsetBy: 2)], radix: 16)
        }
    }
}
