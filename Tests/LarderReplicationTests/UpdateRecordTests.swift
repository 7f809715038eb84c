import LarderTesting
import Testing

@testable import LarderReplication

@Suite struct UpdateRecordTests {
    private let changes: [UpdateChange] = [
        .set(key: "key1".bytes, value: "value1".bytes, flags: 7), .delete(key: "gone".bytes),
        .set(key: [0, 255], value: [], flags: 0),
    ]

    @Test func changesComeBackAsTheyWere() throws {
        #expect(try UpdateRecord(changes).changes() == changes)
        #expect(try UpdateRecord([]).changes() == [])
        #expect(try UpdateRecord(changes).token != UpdateRecord(changes).token)
    }

    @Test func aRecordThatNoReplicaTakesIsNotMade() {
        #expect(throws: ReplicationError.keyTooLong(bytes: 65_536, limit: 250)) {
            try UpdateRecord([.delete(key: [UInt8](repeating: 1, count: 65_536))])
        }
        #expect(throws: ReplicationError.keyTooLong(bytes: 251, limit: 250)) {
            try UpdateRecord([.set(key: [UInt8](repeating: 1, count: 251), value: [], flags: 0)])
        }
        #expect(throws: ReplicationError.emptyKey) { try UpdateRecord([.delete(key: [])]) }
        let value = [UInt8](repeating: 1, count: 32 << 20)
        #expect(throws: ReplicationError.updateTooLarge(bytes: 17 + (32 << 20), limit: 32 << 20)) {
            try UpdateRecord([.set(key: [1], value: value, flags: 0)])
        }
    }

    @Test func contentsOfAnyOtherLengthAreRefused() throws {
        let whole = try UpdateRecord(changes).contents
        for length in 0..<whole.count {
            #expect(UpdateRecord(token: .zero, contents: Array(whole[..<length])).changes() == nil)
        }
        #expect(UpdateRecord(token: .zero, contents: whole + [0]).changes() == nil)
    }

    @Test func bytesThatMayBeAnythingDoNotTrap() throws {
        let seed = drawnSeed("records")
        var random = SeededRandom(seed: seed)
        let whole = try UpdateRecord(changes).contents
        for _ in 0..<20_000 {
            var contents = whole
            for _ in 0..<random.number(1...4) {
                contents[random.number(0...contents.count - 1)] = UInt8(truncatingIfNeeded: random.next())
            }
            let read = UpdateRecord(token: .zero, contents: contents).changes()
            #expect(try read.map { try UpdateRecord($0).contents == contents } ?? true, "seed \(seed)")
        }
    }

    @Test func aRecordIsSplitAtTheLimit() throws {
        let change = UpdateChange.set(key: [1], value: [UInt8](repeating: 0, count: 100), flags: 0)
        let three = try ReplicatedCache.records([change, change, change], bytesMax: 5 + 2 * 112)
        #expect(three.map { $0.changes()?.count } == [2, 1])
        #expect(throws: ReplicationError.updateTooLarge(bytes: 117, limit: 116)) {
            try ReplicatedCache.records([change], bytesMax: 116)
        }
    }
}
