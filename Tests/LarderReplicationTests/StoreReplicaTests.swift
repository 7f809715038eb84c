import Foundation
import LarderStore
import LarderTesting
import Testing

@testable import LarderReplication

/// A log that is applied to a store in place, and conditional records.
@Suite(.serialized) struct StoreReplicaTests {
    private let place: ReplicationPlace
    private static let keys = ["a", "b", "c", "d"]

    init() throws { place = try ReplicationPlace() }

    /// A store as a server has it.
    private func open(_ name: String) throws -> StoreReplica {
        let path = place.state(name)
        let store = try Store(
            StoreConfiguration(memoryBytes: 4 << 20, itemBytesMax: 64 << 10, evicts: false, filePath: path))
        return try StoreReplica(store, path: path, ReplicaSignal(path: path))
    }

    private func catchUp(_ replica: StoreReplica, _ log: any UpdateLog) throws {
        while try replica.step(log) {}
    }

    /// Values with the ids of their records.
    private func items(_ replica: StoreReplica) -> [String: String] {
        var items: [String: String] = [:]
        for key in Self.keys {
            items[key] = replica.item(key.bytes).map { "\($0.value.text) \($0.flags) \($0.version)" }
        }
        return items
    }

    private func items(_ cache: ReplicatedCache) throws -> [String: String] {
        var items: [String: String] = [:]
        for key in Self.keys {
            items[key] = try cache.read(key.bytes) {
                "\(Array($0.value).text) \($0.clientFlags) \($0.cas)"
            }
        }
        return items
    }

    /// A record that may depend on one of the last records.
    private func randomChange(_ random: inout SeededRandom, id: UInt64, place: Int) -> UpdateChange {
        let key = Self.keys[random.number(0...Self.keys.count - 1)].bytes
        let value = "value \(id)".bytes
        switch random.number(0...12) {
        case 0...1: return .set(key: key, value: value, flags: UInt32(id))
        case 2: return .delete(key: key)
        case 3: return random.number(0...4) == 0 ? .clear : .delete(key: key)
        case 4...5: return .conditional(key: key, value: value, flags: 1, .isMissing)
        case 6: return .conditional(key: key, value: nil, flags: 0, .isVersion(id - UInt64(random.number(1...4))))
        case 7...9 where place > 0:
            return .conditional(
                key: key, value: value, flags: 2, .isRecordBefore(distance: random.number(1...place)))
        default: return .conditional(key: key, value: value, flags: 3, .isVersion(id - UInt64(random.number(1...4))))
        }
    }

    @Test func conditionsHoldOnAllReplicasAlike() async throws {
        let seed = drawnSeed("conditions")
        var random = SeededRandom(seed: seed)
        let log = try place.openLog()
        let replica = try open("server")
        let cache = try place.cache("process")
        var id: UInt64 = 10
        _ = try log.append((1...10).map { try record(("a", "\($0)")) })
        for round in 0..<60 {
            var records: [UpdateRecord] = []
            for place in 0..<random.number(1...8) {
                id += 1
                records.append(try UpdateRecord([randomChange(&random, id: id, place: place)]))
            }
            #expect(try log.append(records) == id)
            try catchUp(replica, log)
            if round % 20 == 10 { try await cache.rewriteHistory() }
            let late = try open("late\(round)")
            try catchUp(late, log)
            try await cache.update()
            let found = items(replica)
            #expect(try items(cache) == found, "seed \(seed)")
            #expect(items(late) == found, "seed \(seed)")
            late.close()
        }
        replica.close()
        cache.close()
    }

    @Test func aConditionHoldsOnce() throws {
        let log = try place.openLog()
        let replica = try open("server")
        _ = try log.append([try record(("a", "1")), try record(("b", "1"))])
        try catchUp(replica, log)
        func apply(_ change: UpdateChange) throws -> Bool {
            let record = try UpdateRecord([change])
            return try replica.apply(UpdateEntry(id: log.append([record]), record: record))
        }
        func change(_ key: String, _ condition: UpdateCondition) -> UpdateChange {
            .conditional(key: key.bytes, value: "x".bytes, flags: 0, condition)
        }
        #expect(try apply(change("a", .isVersion(1))))
        #expect(try !apply(change("a", .isVersion(1))))
        #expect(try !apply(change("b", .isMissing)))
        #expect(try apply(change("c", .isMissing)))
        #expect(try !apply(change("c", .isMissing)))
        #expect(try apply(change("c", .isRecordBefore(distance: 2))))
        #expect(try apply(.delete(key: "c".bytes)))
        #expect(try !apply(.delete(key: "c".bytes)))
        replica.close()
    }

    @Test func aConditionalChangeStandsAlone() throws {
        let conditional = UpdateChange.conditional(key: [1], value: [2], flags: 3, .isVersion(4))
        for change in [conditional, .conditional(key: [1], value: nil, flags: 0, .isRecordBefore(distance: 2)), .clear]
        {
            #expect(try UpdateRecord([change]).changes() == [change])
        }
        #expect(throws: ReplicationError.conditionNotAlone) { try UpdateRecord([conditional, .delete(key: [1])]) }
    }

    @Test func aReplicaThatWasAwayGoesOnPastARewrittenHistory() async throws {
        let log = try place.openLog()
        let other = try place.cache("other")
        for (key, value) in [("a", "1"), ("b", "1"), ("c", "1")] { try await other.set(key, value.bytes) }
        do {
            let before = try open("server")
            try catchUp(before, log)
            #expect(items(before) == ["a": "1 0 1", "b": "1 0 2", "c": "1 0 3"])
            before.close()
        }
        try await other.delete("b")
        try await other.set("a", "2".bytes)
        try await other.rewriteHistory()
        try await other.set("d", "1".bytes)
        let after = try open("server")
        #expect(after.applied.id == 3)
        try catchUp(after, log)
        #expect(items(after) == ["a": "2 0 5", "c": "1 0 3", "d": "1 0 6"])
        #expect(after.loads == 1)
        after.close()
        other.close()
    }

    @Test func aLogThatWasRestoredFromABackupIsNoticed() throws {
        let log = try place.openLog()
        let replica = try open("server")
        _ = try log.append([try record(("a", "1")), try record(("b", "1"))])
        try catchUp(replica, log)
        try FileManager.default.removeItem(atPath: place.log)
        let restored = try place.openLog()
        _ = try restored.append([try record(("a", "1")), try record(("c", "2")), try record(("a", "3"))])
        try catchUp(replica, restored)
        #expect(items(replica) == ["a": "3 0 3", "c": "2 0 2"])
        replica.close()
    }

    /// A change through a mapping, of which the system gives no notice: the item's checksum shows it, and the replica
    /// loads its items anew.
    @Test(arguments: [true, false])
    func aDecisionRestsOnNoChangedItem(readsVersion: Bool) throws {
        let log = try place.openLog()
        let replica = try open("server")
        _ = try log.append([try record(("counter", "41"))])
        try catchUp(replica, log)
        #expect(replica.item("counter".bytes)?.value.text == "41" && replica.isSound)
        try Self.change("counter41", to: "counter91", in: place.state("server"))
        #expect(replica.isSound)
        if readsVersion {
            let change = UpdateChange.conditional(key: "counter".bytes, value: "42".bytes, flags: 0, .isVersion(1))
            let record = try UpdateRecord([change])
            _ = try? replica.apply(UpdateEntry(id: log.append([record]), record: record))
        } else {
            _ = replica.item("counter".bytes)
        }
        #expect(!replica.isSound)
        try catchUp(replica, log)
        #expect(replica.isSound && replica.loads == 2)
        #expect(replica.item("counter".bytes)?.value.text == (readsVersion ? "42" : "41"))
        replica.close()
    }

    private static func change(_ text: String, to other: String, in path: String) throws {
        let file = try OpenFile(path, O_RDWR)
        let mapped = mmap(nil, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0)
        try #require(mapped != MAP_FAILED)
        let bytes = UnsafeMutableRawBufferPointer(start: mapped, count: file.size)
        defer { munmap(bytes.baseAddress, bytes.count) }
        let found = try #require(bytes.firstRange(of: text.bytes))
        UnsafeMutableRawBufferPointer(rebasing: bytes[found]).copyBytes(from: other.bytes)
    }

    @Test func anotherProcessReadsTheFileInPlace() async throws {
        let log = try place.openLog()
        let replica = try open("server")
        _ = try log.append([try record(("a", "1"), ("b", "2"))])
        try catchUp(replica, log)
        let reader = try place.cache("server")
        #expect(try items(reader) == ["a": "1 0 1", "b": "2 0 1"])
        #expect(!reader.status.isApplier)
        // The file of a server has one applier.
        #expect(throws: ReplicationError.self) {
            _ = try StoreReplica(
                Store(StoreConfiguration(memoryBytes: 4 << 20, filePath: place.state("another"))),
                path: place.state("server"), ReplicaSignal(path: place.state("another")))
        }
        _ = try log.append([try UpdateRecord([.clear]), try record(("c", "3"))])
        try catchUp(replica, log)
        #expect(try items(reader) == ["c": "3 0 3"])
        reader.close()
        replica.close()
    }

    @Test func aFileThatWasInUseIsTrustedInTheSameBoot() throws {
        let log = try place.openLog()
        _ = try log.append([try record(("a", "1"))])
        do {
            let replica = try open("server")
            try catchUp(replica, log)
            #expect(replica.loads == 1)
            // Without a close.
        }
        let replica = try open("server")
        #expect(replica.isReadable)
        #expect(replica.applied.id == 1)
        try catchUp(replica, log)
        #expect(replica.loads == 0)
        replica.close()
    }
}
