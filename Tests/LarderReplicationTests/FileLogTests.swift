import Foundation
import LarderTesting
import Testing

@testable import LarderReplication

@Suite struct FileLogTests {
    @Test func segmentsAreBegunAndReadOn() throws {
        let place = try ReplicationPlace()
        let log = try place.openLog(segmentBytes: 4096)
        let other = try place.openLog(segmentBytes: 4096)
        for number in 0..<60 {
            let writer = number % 2 == 0 ? log : other
            _ = try writer.append([record(("key\(number)", String(repeating: "x", count: 500)))])
        }
        #expect(try place.files("segment-").count > 5)
        for reader in [log, other, try place.openLog()] {
            #expect(try reader.read(after: 0, limit: 100).map(\.id) == Array(1...60))
            #expect(try reader.read(after: 31, limit: 5).map(\.id) == Array(32...36))
        }
    }

    /// A kill or a power failure may leave any beginning of the last record.
    @Test func aTornLastRecordIsCutAtEveryByte() throws {
        let place = try ReplicationPlace()
        let records = try (1...4).map { try record(("key\($0)", "value\($0)")) }
        do { _ = try place.openLog().append(records) }
        let file = try #require(place.files("segment-").first)
        let before = try ReplicationPlace.content(of: file).count
        do { _ = try place.openLog().append([record(("torn", "value"))]) }
        let whole = try ReplicationPlace.content(of: file)
        for cut in before..<whole.count {
            // The missing bytes may also be zeros.
            let zeros = [UInt8](repeating: 0, count: cut % 2 == 0 ? 0 : whole.count - cut)
            try ReplicationPlace.overwrite(file, whole[..<cut] + zeros)
            let log = try place.openLog()
            #expect(try log.latest() == UpdatePoint(id: 4, token: records[3].token), "cut at \(cut)")
            #expect(try ReplicationPlace.content(of: file).count == before)
            let next = try record(("next", "\(cut)"))
            #expect(try log.append([next]) == 5)
            #expect(try place.openLog().read(after: 0, limit: 9).map(\.record) == records + [next])
        }
    }

    /// The next writer cuts it off, while another process has the log open.
    @Test func aTornRecordOfAKilledWriterIsCutByTheNext() throws {
        let place = try ReplicationPlace()
        let log = try place.openLog()
        _ = try log.append([record(("key", "1"))])
        let file = try #require(place.files("segment-").first)
        let whole = try ReplicationPlace.content(of: file)
        try ReplicationPlace.overwrite(file, whole + whole[64..<90])
        #expect(try log.latest().id == 1)
        #expect(try log.read(after: 0, limit: 9).count == 1)
        #expect(try log.append([record(("key", "2"))]) == 2)
        #expect(try place.openLog().read(after: 0, limit: 9).map(\.id) == [1, 2])
    }

    @Test func aFlippedByteIsNoticedWhereverItIs() throws {
        let place = try ReplicationPlace()
        let records = try (1...4).map { try record(("key\($0)", "value\($0)")) }
        do { _ = try place.openLog().append(records) }
        let file = try #require(place.files("segment-").first)
        let whole = try ReplicationPlace.content(of: file)
        let frameBytes = (whole.count - LogFileHeader.bytes) / 4
        let seed = drawnSeed("flips")
        var random = SeededRandom(seed: seed)
        for offset in whole.indices {
            var bytes = whole
            bytes[offset] ^= UInt8(random.number(1...255))
            try ReplicationPlace.overwrite(file, bytes)
            let frame = offset < LogFileHeader.bytes ? nil : (offset - LogFileHeader.bytes) / frameBytes
            if frame == 3 {
                // The damaged record looks like one that a kill left unfinished.
                #expect(try place.openLog().read(after: 0, limit: 9).map(\.record) == Array(records[..<3]))
            } else {
                let start = frame.map { LogFileHeader.bytes + $0 * frameBytes } ?? 0
                #expect(damageOffset { _ = try place.openLog() } == start, "byte \(offset), seed \(seed)")
                #expect(try ReplicationPlace.content(of: file) == bytes)
            }
        }
    }

    @Test func aByteFlippedLaterIsNoticedWhenItIsRead() throws {
        let place = try ReplicationPlace()
        let log = try place.openLog()
        _ = try log.append((1...3).map { try record(("key\($0)", "value\($0)")) })
        let file = try #require(place.files("segment-").first)
        var bytes = try ReplicationPlace.content(of: file)
        bytes[LogFileHeader.bytes + 50] ^= 1
        try ReplicationPlace.overwrite(file, bytes)
        #expect(damageOffset { _ = try log.read(after: 0, limit: 9) } == LogFileHeader.bytes)
    }

    private func damageOffset(_ body: () throws -> Void) -> Int? {
        do {
            try body()
        } catch ReplicationError.logDamaged(_, let offset, _) {
            return offset
        } catch {}
        return nil
    }

    @Test func aFlippedByteOfASnapshotIsNoticed() throws {
        let place = try ReplicationPlace()
        do {
            let log = try place.openLog()
            let only = try record(("key", "value"))
            _ = try log.append([only])
            var items = [SnapshotItem(key: "key".bytes, value: "value".bytes, flags: 0, id: 1)]
            try log.rewrite(before: UpdatePoint(id: 1, token: only.token)) { items.popLast() }
        }
        let file = try #require(place.files("snapshot-").first)
        let whole = try ReplicationPlace.content(of: file)
        let seed = drawnSeed("snapshots")
        var random = SeededRandom(seed: seed)
        for offset in whole.indices {
            var bytes = whole
            bytes[offset] ^= UInt8(random.number(1...255))
            try ReplicationPlace.overwrite(file, bytes)
            #expect(throws: ReplicationError.self, "byte \(offset), seed \(seed)") {
                let log = try place.openLog()
                _ = try log.readSnapshot(at: try #require(try log.snapshot())) { _ in }
            }
        }
        for length in 0..<whole.count {
            try ReplicationPlace.overwrite(file, Array(whole[..<length]))
            #expect(throws: ReplicationError.self, "cut at \(length)") {
                let log = try place.openLog()
                _ = try log.readSnapshot(at: try #require(try log.snapshot())) { _ in }
            }
        }
    }
}
