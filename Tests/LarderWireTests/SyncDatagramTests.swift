import LarderTesting
import Testing

@testable import LarderWire

/// Datagrams of uWSGI's cache sync, with the bytes that uWSGI 2.0.30 was seen to send, and Larder's own.
@Suite struct SyncDatagramTests {
    /// A datagram as a test reads it.
    private struct Message: Equatable {
        var kind: SyncDatagram.Kind
        var key = ""
        var value: [UInt8] = []
        var time: Int64 = 0
        var clientFlags: UInt32 = 0

        init(
            _ kind: SyncDatagram.Kind, _ key: String = "", _ value: String = "", time: Int64 = 0, flags: UInt32 = 0
        ) {
            self.init(kind, key, Array(value.utf8), time: time, flags: flags)
        }
        init(_ kind: SyncDatagram.Kind, _ key: String, _ value: [UInt8], time: Int64, flags: UInt32) {
            (self.kind, self.key, self.value, self.time, clientFlags) = (kind, key, value, time, flags)
        }
    }

    private func read(_ bytes: [UInt8]) -> Message? {
        bytes.withUnsafeBytes { buffer in
            guard let read = SyncDatagram(buffer) else { return nil }
            let key = buffer[read.keyStart..<read.keyStart + read.keyLength]
            let value = buffer[read.valueStart..<read.valueStart + read.valueLength]
            return Message(
                read.kind, String(decoding: key, as: UTF8.self), Array(value), time: read.time,
                flags: read.clientFlags)
        }
    }
    private func read(_ hex: String) -> Message? { read(bytes(hex)) }

    @Test func datagramsThatUwsgiSends() {
        #expect(read("6f09000a 0100 6b 0100 76 0100 30") == Message(.store, "k", "v"))
        #expect(
            read("6f13000a 0100 6b 0200 7632 0a00 31373935393536343039")
                == Message(.store, "k", "v2", time: 1_795_956_409))
        #expect(read("6f0b000a 0100 61 0100 76 0300 313030") == Message(.store, "a", "v", time: 100))
        #expect(
            read("6f11000a 0100 69 0800 0200000000000000 0200 3330")
                == Message(.store, "i", [2, 0, 0, 0, 0, 0, 0, 0], time: 30, flags: 0))
        #expect(
            read("6f19000a 0100 69 0800 0200000000000000 0a00 31373935393536333630")
                == Message(.store, "i", [2, 0, 0, 0, 0, 0, 0, 0], time: 1_795_956_360, flags: 0))
        #expect(read("6f03000b 0100 6b") == Message(.delete, "k"))
        #expect(read("6f05000b 0100 6b 0000") == Message(.delete, "k"))
        #expect(read("6f02000b 0000") == Message(.delete))
        #expect(
            read("6f12000a 0100 6b 0100 76 0a00 31373935323236323736")
                == Message(.store, "k", "v", time: 1_795_226_276))
    }

    @Test func datagramsThatUwsgiAccepts() {
        // Without an expiry, and with bytes behind it.
        #expect(read("6f06000a 0100 6b 0100 76") == Message(.store, "k", "v"))
        #expect(read("6f07000a 0100 6b 0100 76 00") == Message(.store, "k", "v"))
        #expect(read("6f0b000a 0100 6b 0100 76 0100 30 ffff") == Message(.store, "k", "v"))
        #expect(read("6f05000a 0100 6b 0000") == Message(.store, "k"))
        // uWSGI turns -1 into 2^64 - 1.
        let digits = "3138343436373434303733373039353531363135"
        #expect(read("6f1c000a 0100 6b 0100 76 1400 \(digits)")?.time == 100_000_000_000_000)
    }

    @Test func malformedDatagramsAreRefused() {
        for hex in [
            "", "6f", "6f0000", "6e03000b 0100 6b", "6f04000b 0100 6b", "6f02000b 0100 6b", "6f030009 0100 6b",
            "6f00000b", "6f01000b 01", "6f02000b 0100", "6f03000b ffff 6b", "6f03000a 0100 6b", "6f05000a 0100 6b 0100",
            "6f05000a 0100 6b ffff", "6f08000a 0100 6b 0100 76 0100", "6f09000a 0100 6b 0100 76 0100 61",
            "6f0a000a 0100 6b 0100 76 0200 2d31", "6f00004c", "6f01004c 00", "6f01004c 01",
            "6f09004c 02 0000000000000000",
            "6f08004c 01 00000000000000",
        ] { #expect(read(hex) == nil, "\(hex)") }
    }

    @Test func larderToLarder() {
        #expect(read("6f09004c 00 0000000000000000") == Message(.greeting))
        #expect(read("6f09004c 01 0000000000000000") == Message(.clear))
        #expect(read("6f09004c 01 0102030000000000") == Message(.clear, time: 0x030201))
        #expect(read("6f09004c 01 ffffffffffffffff") == Message(.clear))
        #expect(
            read("6f0f000a 0100 6b 0100 76 0100 30 0400 04030201")
                == Message(.store, "k", "v", flags: 0x0102_0304))
    }

    // MARK: Writing

    private func store(_ key: String, _ value: [UInt8], expires: Int64 = 0, flags: UInt32 = 0) -> [UInt8]? {
        written { out in
            let key = Array(key.utf8)
            return SyncEncoder.encodeStore(
                key: key, keyLength: key.count, value: value, valueLength: value.count, expires: expires,
                clientFlags: flags, at: out)
        }
    }

    private func written(_ write: (UnsafeMutablePointer<UInt8>) -> Int?) -> [UInt8]? {
        var room = [UInt8](repeating: 0xaa, count: SyncDatagram.lengthMax + 1)
        let length = room.withUnsafeMutableBufferPointer { room in
            room.baseAddress.flatMap { write($0) }
        }
        #expect(room.last == 0xaa)
        return length.map { Array(room[..<$0]) }
    }

    @Test func bytesOfEachKind() {
        #expect(store("k", [0x76]) == bytes("6f09000a 0100 6b 0100 76 0100 30"))
        #expect(
            store("k", Array("v2".utf8), expires: 1_795_956_409)
                == bytes("6f13000a 0100 6b 0200 7632 0a00 31373935393536343039"))
        #expect(store("k", [0x76], flags: 0x0102_0304) == bytes("6f0f000a 0100 6b 0100 76 0100 30 0400 04030201"))
        #expect(
            written { SyncEncoder.encodeDelete(key: [UInt8(0x6b)], keyLength: 1, at: $0) }
                == bytes("6f05000b 0100 6b 0000"))
        #expect(written { SyncEncoder.encodeGreeting(at: $0) } == bytes("6f09004c 00 0000000000000000"))
        #expect(
            written { SyncEncoder.encodeClear(atMilliseconds: 0x030201, at: $0) }
                == bytes("6f09004c 01 0102030000000000"))
    }

    /// 12 bytes beside a key of one byte and a value without expiry.
    @Test func theLargestDatagram() {
        let fits = [UInt8](repeating: 0x76, count: SyncDatagram.lengthMax - 12)
        #expect(store("k", fits)?.count == 65_507)
        #expect(store("k", fits).flatMap { read($0) } == Message(.store, "k", fits, time: 0, flags: 0))
        #expect(store("k", fits + [0]) == nil)
        #expect(store("k", fits, expires: 10) == nil)
        #expect(store("k", fits, flags: 1) == nil)
        #expect(store("k", [UInt8](repeating: 0, count: 66_000)) == nil)
    }

    /// The key takes its length's place in the datagram, and that of the value.
    @Test func longKeys() {
        for length in [250, 251, 255, 256, 2048, SyncDatagram.lengthMax - 12] {
            let key = String(repeating: "k", count: length)
            #expect(store(key, [0x76]).flatMap { read($0) } == Message(.store, key, "v"), "\(length)")
        }
        #expect(store(String(repeating: "k", count: SyncDatagram.lengthMax - 11), [0x76]) == nil)
        for length in [256, 2048, SyncDatagram.lengthMax - 8] {
            let key = [UInt8](repeating: 0x6b, count: length)
            let datagram = written { SyncEncoder.encodeDelete(key: key, keyLength: length, at: $0) }
            #expect(datagram.flatMap { read($0) } == Message(.delete, String(repeating: "k", count: length)))
        }
        let key = [UInt8](repeating: 0x6b, count: SyncDatagram.lengthMax - 7)
        #expect(written { SyncEncoder.encodeDelete(key: key, keyLength: key.count, at: $0) } == nil)
    }

    @Test func times() {
        let now: Int64 = 1_795_956_409_500
        #expect(SyncExpiry.milliseconds(0, now: now) == Int64.max)
        #expect(SyncExpiry.milliseconds(1, now: now) == now + 1000)
        #expect(SyncExpiry.milliseconds(99_999_999, now: now) == now + 99_999_999_000)
        #expect(SyncExpiry.milliseconds(100_000_000, now: now) == 100_000_000_000)
        #expect(SyncExpiry.milliseconds(1_795_956_410, now: now) == 1_795_956_410_000)
        #expect(SyncExpiry.milliseconds(100_000_000_000_000, now: now) == Int64.max)
        #expect(SyncExpiry.seconds(Int64.max) == 0)
        #expect(SyncExpiry.seconds(1_795_956_410_000) == 1_795_956_410)
        #expect(SyncExpiry.seconds(1_795_956_410_001) == 1_795_956_411)
        #expect(SyncExpiry.seconds(Int64.max - 1) > 0)
    }

    /// Any bytes and any lengths: no trap, and nothing outside of the datagram.
    @Test func anyBytes() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var numbers = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            let length = Int(numbers.next() % 40)
            var datagram = (0..<length).map { _ in UInt8(truncatingIfNeeded: numbers.next() % 5) }
            if length >= 4 {
                datagram[0] = 111
                datagram[1] = UInt8(length - 4)
                datagram[2] = 0
                datagram[3] = [10, 11, 76][Int(numbers.next() % 3)]
            }
            datagram.withUnsafeBytes { buffer in
                guard let read = SyncDatagram(buffer) else { return }
                #expect(read.keyStart >= 0 && read.keyStart + read.keyLength <= length)
                #expect(read.valueStart >= 0 && read.valueStart + read.valueLength <= length)
            }
        }
    }
}

/// The bytes of a hexadecimal text with spaces.
private func bytes(_ text: String) -> [UInt8] {
    let digits = text.filter { $0 != " " }.compactMap(\.hexDigitValue)
    precondition(digits.count.isMultiple(of: 2))
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}
