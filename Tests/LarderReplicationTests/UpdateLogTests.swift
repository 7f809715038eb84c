import LarderReplication
import Testing

/// What every kind of log promises.
@Suite struct UpdateLogTests {
    @Test(arguments: LogKind.all) func idsHaveNoGapsAndRecordsComeBack(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let log = try place.openLog()
        #expect(try log.latest() == .start)
        let records = try (1...200).map { try record(("key\($0)", "value\($0)")) }
        #expect(try log.append([records[0]]) == 1)
        #expect(try log.append(Array(records[1...])) == 200)
        for reader in [log, try place.openLog()] {
            let entries = try reader.read(after: 0, limit: 1000)
            #expect(entries.map(\.id) == Array(1...200))
            #expect(entries.map(\.record) == records)
            #expect(try reader.read(after: 130, limit: 3).map(\.id) == [131, 132, 133])
            #expect(try reader.read(after: 200, limit: 3).isEmpty)
            #expect(try reader.latest() == UpdatePoint(id: 200, token: records[199].token))
        }
    }

    @Test(arguments: LogKind.all) func aSnapshotReplacesTheRecordsBeforeIt(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let log = try place.openLog()
        let records = try (1...10).map { try record(("key\($0)", "value\($0)")) }
        _ = try log.append(records)
        let other = try place.openLog()
        let point = UpdatePoint(id: 6, token: records[5].token)
        var left = (1...6).map { SnapshotItem(key: "key\($0)".bytes, value: "v".bytes, flags: 3, id: UInt64($0)) }
        let all = left
        try log.rewrite(before: point) { left.popLast() }
        for reader in [log, other, try place.openLog()] {
            #expect(try reader.snapshot() == point)
            #expect(try reader.read(after: 0, limit: 99).map(\.id) == [7, 8, 9, 10])
            var items: Set<SnapshotItem> = []
            let isWhole = try reader.readSnapshot(at: point) { items.insert($0) }
            #expect(isWhole)
            #expect(items == Set(all))
        }
        #expect(try other.append([record(("key11", "v"))]) == 11)
        #expect(try log.read(after: 9, limit: 99).map(\.id) == [10, 11])
        // Rewritten twice up to the last record: only the snapshot is left, and the next id follows.
        let end = try log.latest()
        for _ in 0..<2 { try other.rewrite(before: end) { nil } }
        #expect(try log.read(after: 0, limit: 99).isEmpty)
        #expect(try log.latest() == end)
        if kind == .file { #expect(try place.files("s").count == 2) }
        #expect(try log.append([record(("key12", "v"))]) == 12)
    }

    @Test(arguments: LogKind.all) func anAppendTellsWhetherItFollowsARecord(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let (log, other) = (try place.openLog(), try place.openLog())
        func append(_ count: Int, after point: UpdatePoint) throws -> AppendedUpdates {
            try log.append((0..<count).map { try record(("key\($0)", "value")) }, after: point)
        }
        func expect(_ appended: AppendedUpdates, _ id: UInt64, _ followsPoint: Bool) {
            #expect((appended.id, appended.followsPoint) == (id, followsPoint))
        }
        expect(try append(1, after: .start), 1, true)
        let first = try log.latest()
        expect(try append(2, after: first), 3, true)
        expect(try append(1, after: first), 4, false)
        let fourth = try log.latest()
        #expect(try other.append([record(("other", "value"))]) == 5)
        expect(try append(1, after: fourth), 6, false)
        let sixth = try log.latest()
        expect(try append(1, after: UpdatePoint(id: 6, token: fourth.token)), 7, false)
        let seventh = try log.latest()
        expect(try append(1, after: UpdatePoint(id: 6, token: seventh.token)), 8, false)
        expect(try append(1, after: log.latest()), 9, true)
        #expect(sixth.id == 6)
        #expect(try log.latest().id == 9)
    }

    @Test(arguments: LogKind.all) func aRecordThatIsTooLargeIsRefused(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let log = try place.openLog()
        let large = UpdateRecord(token: .random(), contents: [UInt8](repeating: 1, count: 32 << 20 + 1))
        #expect(throws: ReplicationError.updateTooLarge(bytes: 32 << 20 + 1, limit: 32 << 20)) {
            try log.append([record(("key", "value")), large])
        }
        #expect(try log.latest() == .start)
    }
}
