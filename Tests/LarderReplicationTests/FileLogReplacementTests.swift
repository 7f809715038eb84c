import Foundation
import LarderStore
import Testing

@testable import LarderReplication

/// A log whose files are removed or replaced while processes have it open.
@Suite struct FileLogReplacementTests {
    private let place: ReplicationPlace
    private let log: FileLog

    init() throws {
        place = try ReplicationPlace()
        log = try FileLog(path: place.log, segmentBytes: 4096)
        _ = try log.append([record(("key", "1")), record(("other", "1"))])
    }

    private var away: String { place.path + "/away" }
    private func move(_ from: String, _ to: String) throws {
        try FileManager.default.moveItem(atPath: from, toPath: to)
    }
    private func names(_ directory: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
    }

    /// Every call fails, and none makes the log anew.
    private func expectRefusals() throws {
        let point = UpdatePoint(id: 1, token: .zero)
        #expect(throws: ReplicationError.self) { try log.append([record(("key", "2"))]) }
        #expect(throws: ReplicationError.self) { try log.append([]) }
        #expect(throws: ReplicationError.self) { try log.latest() }
        #expect(throws: ReplicationError.self) { try log.read(after: 0, limit: 9) }
        #expect(throws: ReplicationError.self) { try log.snapshot() }
        #expect(throws: ReplicationError.self) { try log.readSnapshot(at: point) { _ in } }
        #expect(throws: ReplicationError.self) { try log.rewrite(before: point) { nil } }
        #expect(throws: ReplicationError.self) { try log.trim() }
        #expect(throws: ReplicationError.self) { try log.wait(after: 2, milliseconds: 0, wakeups: []) }
    }

    @Test func aLogThatIsMovedAwayIsMissedUntilItIsBack() throws {
        try move(place.log, away)
        try expectRefusals()
        #expect(!FileManager.default.fileExists(atPath: place.log))
        try move(away, place.log)
        #expect(try log.latest().id == 2)
        #expect(try log.append([record(("key", "2"))]) == 3)
        #expect(try place.openLog().read(after: 0, limit: 9).map(\.id) == [1, 2, 3])
    }

    @Test func aLogWithoutFilesIsNotBegunAgain() throws {
        for name in try names(place.log) { try FileManager.default.removeItem(atPath: place.log + "/" + name) }
        try expectRefusals()
        #expect(try names(place.log) == [])
        // A process that opens it begins another one.
        let other = try place.openLog()
        #expect(try log.latest().id == 0)
        #expect(try log.append([record(("key", "3"))]) == 1)
        #expect(try other.read(after: 0, limit: 9).map(\.id) == [1])
    }

    @Test func aSegmentThatWasRemovedIsMissed() throws {
        let segment = try #require(place.files("segment-").first)
        try move(segment, away)
        try expectRefusals()
        try move(away, segment)
        #expect(try log.append([record(("key", "2"))]) == 3)
    }

    /// The other log has fewer bytes than this one had when it was synced.
    @Test func anotherLogInThePlaceIsFollowed() throws {
        for number in 0..<20 { _ = try log.append([record(("key\(number)", String(repeating: "x", count: 300)))]) }
        let before = try names(place.log).map { try ReplicationPlace.content(of: place.log + "/" + $0) }
        try move(place.log, away)
        let other = try FileLog(path: place.log, segmentBytes: 4096)
        let first = try record(("first", "1"))
        _ = try other.append([first])
        #expect(try log.latest() == UpdatePoint(id: 1, token: first.token))
        let second = try record(("second", "2"))
        #expect(try log.append([second]) == 2)
        for reader in [log, other, try FileLog(path: place.log)] {
            #expect(try reader.read(after: 0, limit: 9).map(\.record) == [first, second])
        }
        #expect(try names(away).map { try ReplicationPlace.content(of: away + "/" + $0) } == before)
    }

    /// A backup takes the place of the segment, and the lock stays.
    @Test func anOlderSegmentInThePlaceIsFollowed() throws {
        let segment = try #require(place.files("segment-").first)
        try FileManager.default.copyItem(atPath: segment, toPath: away)
        _ = try log.append([record(("key", "3"))])
        #expect(rename(away, segment) == 0)
        #expect(try log.latest().id == 2)
        let next = try record(("key", "4"))
        #expect(try log.append([next]) == 3)
        #expect(try place.openLog().read(after: 2, limit: 9).map(\.record) == [next])
    }

    /// A record that was written to files that are gone is not reported as durable.
    @Test(arguments: [false, true])
    func filesThatGoBeforeARecordIsDurable(isReplaced: Bool) throws {
        let written = try log.write([record(("key", "2"))])
        try move(place.log, away)
        if isReplaced { _ = try place.openLog().append((1...3).map { try record(("key", "\($0)")) }) }
        #expect {
            try log.finish(written)
        } throws: {
            guard case .outcomeUnknown = $0 as? ReplicationError else { return false }
            return true
        }
    }

    /// A history that is rewritten meanwhile replaces the segment, too, but keeps the record.
    @Test(arguments: [2, 3] as [UInt64])
    func aSegmentThatIsTrimmedBeforeARecordIsDurable(before id: UInt64) throws {
        let written = try log.write([record(("key", "2"))])
        let other = try FileLog(path: place.log, segmentBytes: 4096)
        let point = try #require(try other.read(after: id - 1, limit: 1).first).point
        var items = [SnapshotItem(key: "key".bytes, value: "1".bytes, flags: 0, id: 1)]
        try other.rewrite(before: point) { items.popLast() }
        #expect(try log.finish(written) == 3)
        #expect(try log.latest().id == 3)
    }

    /// A snapshot of one log does not become a part of another one.
    @Test func aSnapshotStaysWithItsLog() throws {
        let point = try log.latest()
        let others = try (1...3).map { try record(("key", "\($0)")) }
        var isFirst = true
        func next() throws(ReplicationError) -> SnapshotItem? {
            guard isFirst else { return nil }
            isFirst = false
            // The lock and the segments of another log, in the same directory.
            for name in (try? names(place.log)) ?? [] where !name.hasPrefix("new-") {
                try? FileManager.default.removeItem(atPath: place.log + "/" + name)
            }
            _ = try FileLog(path: place.log).append(others)
            return SnapshotItem(key: "key".bytes, value: "1".bytes, flags: 0, id: 1)
        }
        #expect(throws: ReplicationError.self) { try log.rewrite(before: point, next) }
        #expect(try place.files("snapshot-").isEmpty)
        #expect(try log.read(after: 0, limit: 9).map(\.id) == [1, 2, 3])
    }

    /// What follows the log has the content of the log that is at the path.
    @Test func aReplicaFollowsTheOtherLog() async throws {
        let path = place.state("server")
        let store = try Store(
            StoreConfiguration(memoryBytes: 4 << 20, itemBytesMax: 64 << 10, evicts: false, filePath: path))
        let replica = try StoreReplica(store, path: path, ReplicaSignal(path: path))
        let cache = try place.cache("process")
        defer {
            replica.close()
            cache.close()
        }
        while try replica.step(log) {}
        try await cache.update()
        #expect(replica.item("other".bytes)?.value.text == "1")
        try move(place.log, away)
        #expect(throws: ReplicationError.self) { _ = try replica.step(log) }
        await #expect(throws: ReplicationError.self) { try await cache.set("key", "2".bytes) }
        #expect(replica.item("other".bytes)?.value.text == "1")
        #expect(try cache.get("other")?.text == "1")
        let records = try ["2", "3", "4"].map { try record(("key", $0)) }
        #expect(try FileLog(path: place.log).append(records) == 3)
        while try replica.step(log) {}
        try await cache.update()
        #expect(replica.item("key".bytes)?.value.text == "4" && replica.item("other".bytes) == nil)
        #expect(try cache.get("key")?.text == "4")
        #expect(try cache.get("other") == nil)
    }
}
