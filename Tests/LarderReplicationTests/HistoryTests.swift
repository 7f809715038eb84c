import LarderReplication
import Testing

@Suite(.serialized) struct HistoryTests {
    /// A new replica, one that is up to date, and one that is behind the limit have the same content in the end.
    @Test(arguments: LogKind.all, [nil, 1, 5, 8, 11] as [UInt64?])
    func rewritingLeavesAllReplicasEqual(_ kind: LogKind, limit: UInt64?) async throws {
        let place = try ReplicationPlace(kind)
        do {
            let behind = try place.cache("behind")
            try await behind.set("stays", "old".bytes)
            try await behind.set("goes", "old".bytes)
        }
        let current = try place.cache("current")
        for number in 3...8 { try await current.set("key\(number % 3)", "\(number)".bytes) }
        try await current.delete("goes")
        try await current.delete("key0")
        try await current.set("stays", "new".bytes)
        for _ in 0..<2 {
            try await current.rewriteHistory(before: limit)
            let left = try place.openLog().read(after: 0, limit: 99)
            #expect(left.map(\.id) == Array((limit ?? 11) + 1..<12))
            if kind == .file { #expect(try place.files("s").count == 2) }
        }
        let expected = ["key1": "7", "key2": "8", "stays": "new"]
        let behind = try place.cache("behind")
        for replica in [current, behind, try place.cache("fresh")] {
            #expect(try await replica.update() == 11)
            #expect(try content(replica) == expected)
        }
        #expect(behind.status.rebuilds == (limit == 1 ? 0 : 1))
        #expect(current.status.rebuilds == 1)
        #expect(try await current.set("after", "1".bytes) == 12)
    }

    @Test(arguments: LogKind.all) func aFilterDropsKeysForNewReplicasOnly(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let old = try place.cache("old")
        try await old.set("kept", "1".bytes)
        try await old.set("dropped", "2".bytes)
        try await old.rewriteHistory { $0.key == "kept".bytes }
        #expect(try content(old) == ["kept": "1", "dropped": "2"])
        #expect(try content(place.cache("new")) == ["kept": "1"])
    }

    @Test(arguments: LogKind.all) func aLimitBeyondTheEndIsRefused(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        try await cache.set("key", "1".bytes)
        await #expect(throws: ReplicationError.beyondLatest(id: 2, latest: 1)) {
            try await cache.rewriteHistory(before: 2)
        }
    }

    /// Writers, two tasks that rewrite the history, and a replica that sometimes falls behind.
    @Test(arguments: LogKind.all) func rewritingBesideWritersLosesNothing(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let writer = try place.cache("writer", log: place.openLog(segmentBytes: 4096))
        let other = try place.cache("other", log: place.openLog(segmentBytes: 4096))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<3 {
                group.addTask {
                    for number in 0..<150 { try await writer.set("\(task)-\(number % 20)", "\(number)".bytes) }
                }
            }
            for cache in [writer, other] {
                group.addTask {
                    for _ in 0..<25 {
                        try await cache.rewriteHistory()
                        try await cache.update()
                    }
                }
            }
            try await group.waitForAll()
        }
        try await other.update()
        let fresh = try place.cache("fresh")
        let expected = try content(writer)
        #expect(expected.count == 60)
        #expect(expected["2-9"] == "149")
        #expect(try content(other) == expected)
        #expect(try content(fresh) == expected)
        #expect(try place.openLog().latest().id == 450)
    }
}
