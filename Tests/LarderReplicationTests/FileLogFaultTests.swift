import Foundation
import Testing

@testable import LarderReplication

/// What a log does when the disk, or another process, fails it.
@Suite struct FileLogFaultTests {
    private let place: ReplicationPlace

    init() throws { place = try ReplicationPlace() }

    /// Another process may have read a whole record before the disk was found to be full.
    @Test func aWholeRecordOfAFailedAppendStays() throws {
        let log = try place.openLog()
        _ = try log.append([record(("first", "value"))])
        let size = try #require(place.files("segment-").first.map { try ReplicationPlace.content(of: $0).count })
        let child = try Probe(place, "overfill", "\(size + 1500)")
        child.awaitEnd()
        #expect(child.lines == ["unknown"])
        #expect(try log.read(after: 0, limit: 9).map(\.id) == [1, 2])
        #expect(try log.append([record(("next", "value"))]) == 3)
        #expect(try place.openLog().read(after: 0, limit: 9).map(\.id) == [1, 2, 3])
    }

    @Test func aPartOfARecordOfAFailedAppendGoes() throws {
        let log = try place.openLog()
        _ = try log.append([record(("first", "value"))])
        let file = try #require(place.files("segment-").first)
        let size = try ReplicationPlace.content(of: file).count
        let child = try Probe(place, "overfill", "\(size + 500)")
        child.awaitEnd()
        #expect(child.lines == ["refused"])
        #expect(try ReplicationPlace.content(of: file).count == size)
        #expect(try log.append([record(("next", "value"))]) == 2)
    }

    /// Linux reports once that it could not write, and the next `fdatasync` succeeds.
    @Test func bytesThatTheDiskMayLackAreWrittenAgain() throws {
        _ = try place.openLog().append((1...3).map { try record(("key\($0)", "value")) })
        var files = try LogFiles(place.log, segmentBytes: 4096)
        try files.locked { (_: inout LogFiles) throws(ReplicationError) in }
        let segment = files.last.file
        let content = try ReplicationPlace.content(of: segment.path)
        let longAgo = [timespec(tv_sec: 1, tv_nsec: 0), timespec(tv_sec: 1, tv_nsec: 0)]
        #expect(futimens(segment.fd, longAgo) == 0)
        segment.doubt()
        #expect(throws: ReplicationError.self) { try segment.sync() }
        #expect(throws: ReplicationError.self) { try segment.requireSynced() }
        #expect(throws: ReplicationError.self) { try files.roll() }
        try files.locked { (_: inout LogFiles) throws(ReplicationError) in }
        try segment.requireSynced()
        try segment.sync()
        #expect(try ReplicationPlace.content(of: segment.path) == content)
        #expect(try #require(fileStatus(of: segment.path)).st_mtim.tv_sec > 1)
    }

    /// The system may have dropped the bytes that it could not write.
    @Test func bytesThatAreNotThoseThatWereWrittenAreNotWrittenAgain() throws {
        _ = try place.openLog().append((1...3).map { try record(("key\($0)", "value")) })
        var files = try LogFiles(place.log, segmentBytes: 4096)
        try files.locked { (_: inout LogFiles) throws(ReplicationError) in }
        let segment = files.last.file
        segment.doubt()
        var content = try ReplicationPlace.content(of: segment.path)
        content[LogFileHeader.bytes + 50] ^= 1
        try ReplicationPlace.overwrite(segment.path, content)
        for _ in 0..<2 {
            #expect(throws: ReplicationError.self) {
                try files.locked { (_: inout LogFiles) throws(ReplicationError) in }
            }
        }
        #expect(segment.mayLackBytes)
    }

    /// The segment that a trim makes stands behind later ones until the names are read again.
    @Test func anErrorInATrimLeavesTheSegmentsInOrder() throws {
        let log = try place.openLog(segmentBytes: 4096)
        let records = try (1...60).map { try record(("key\($0)", String(repeating: "x", count: 500))) }
        for record in records { _ = try log.append([record]) }
        let stray = place.log + "/" + LogFiles.segmentName(255)
        func withStraySegment(_ body: () throws -> Void) throws {
            #expect(FileManager.default.createFile(atPath: stray, contents: Data()))
            #expect(throws: ReplicationError.self) { try body() }
            try FileManager.default.removeItem(atPath: stray)
        }
        let point = UpdatePoint(id: 4, token: records[3].token)
        try withStraySegment { try log.rewrite(before: point) { nil } }
        #expect(try log.snapshot() == point)
        try withStraySegment { try log.trim() }
        #expect(try log.append([record(("next", "value"))]) == 61)
        for reader in [log, try place.openLog()] {
            #expect(try reader.read(after: 4, limit: 99).map(\.id) == Array(5...61))
        }
    }

    @Test func aProcessThatKeepsTheLockIsNotWaitedForWithoutEnd() throws {
        _ = try place.openLog().append([record(("key", "value"))])
        var files = try LogFiles(place.log, segmentBytes: 4096, lockMillisecondsMax: 50)
        let other = try OpenFile(place.log + "/lock", O_RDWR)
        #expect(other.tryLock())
        let refused = ReplicationError.logRefused(
            path: place.log + "/lock", reason: "another process holds the log")
        #expect(throws: refused) { try files.refresh() }
        #expect(throws: refused) { try files.locked { (_: inout LogFiles) throws(ReplicationError) in } }
        other.unlock()
        try files.refresh()
        #expect(files.last.end.point.id == 1)
    }

    /// The flipped byte is far before the record that is read.
    @Test func aReadBeginsNearItsRecord() throws {
        let log = try place.openLog()
        let value = String(repeating: "x", count: 700_000)
        for number in 1...6 { _ = try log.append([record(("key\(number)", value))]) }
        let file = try #require(place.files("segment-").first)
        let handle = try FileHandle(forWritingTo: URL(fileURLWithPath: file))
        try handle.seek(toOffset: UInt64(LogFileHeader.bytes + 60))
        try handle.write(contentsOf: [0])
        try handle.close()
        for id in 1...6 as ClosedRange<UInt64> {
            let found = Result { try log.read(after: id - 1, limit: 1).map(\.id) }
            // Records 1, 3 and 5 have marks.
            if id > 2 {
                #expect(try found.get() == [id])
            } else {
                #expect(throws: ReplicationError.self) { _ = try found.get() }
            }
        }
    }

    @Test func aKeyOfASnapshotThatNoReplicaTakesIsRefused() throws {
        let log = try place.openLog()
        let only = try record(("key", "value"))
        _ = try log.append([only])
        let point = UpdatePoint(id: 1, token: only.token)
        func rewrite(_ key: [UInt8]) throws {
            var items = [SnapshotItem(key: key, value: [], flags: 0, id: 1)]
            try log.rewrite(before: point) { items.popLast() }
        }
        #expect(throws: ReplicationError.keyTooLong(bytes: 65_536, limit: 250)) {
            try rewrite([UInt8](repeating: 1, count: 65_536))
        }
        #expect(throws: ReplicationError.emptyKey) { try rewrite([]) }
        #expect(try place.files("new-").isEmpty)
        #expect(try log.read(after: 0, limit: 9).map(\.record) == [only])
    }
}
