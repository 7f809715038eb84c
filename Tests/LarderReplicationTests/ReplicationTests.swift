import Foundation
import LarderStore
import LarderTesting
import Testing

@testable import LarderReplication

/// The promises of docs/replicated-caches.md, with FileLog and in one process.
@Suite(.serialized) struct ReplicationTests {
    @Test(arguments: LogKind.all) func anotherMachineSeesAllAfterUpdate(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let here = try place.cache("here")
        let there = try place.cache("there")
        try await here.set("key", "1".bytes)
        try await here.set("key", "2".bytes)
        try await here.delete("never there")
        #expect(try await here.setMulti([:]) == nil)
        #expect(try await here.deleteMulti([]) == nil)
        try await here.setMulti(["a".bytes: "x".bytes, "b".bytes: "y".bytes])
        #expect(try await there.update() == 4)
        #expect(there.updateID == 4)
        #expect(try content(there) == ["key": "2", "a": "x", "b": "y"])
        try await there.delete("key")
        try await here.update()
        #expect(try content(here) == ["a": "x", "b": "y"])
    }

    @Test(arguments: LogKind.all) func aMachineFollowsByItself(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let here = try place.cache("here")
        let there = try place.cache("there")
        let id = try await here.set("key", "1".bytes)
        let deadline = monotonicMilliseconds() + 10_000
        while there.updateID < id, monotonicMilliseconds() < deadline { try await Task.sleep(for: .milliseconds(5)) }
        #expect(try there.get("key") == "1".bytes)
    }

    @Test(arguments: LogKind.all) func writersInOneProcessAreAppendedTogetherAndInOrder(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        let ids = try await withThrowingTaskGroup(of: UInt64.self) { group in
            for number in 0..<200 {
                group.addTask { [cache] in try await cache.set("key\(number)", "\(number)".bytes) }
            }
            return try await group.reduce(into: Set<UInt64>()) { $0.insert($1) }
        }
        #expect(ids == Set(1...200))
        #expect(try cache.keys().count == 200)
    }

    @Test(arguments: LogKind.all) func aFullStateFileGrowsAndKeepsEverything(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache { $0.updateBytesMax = 64 << 10 }
        let size = try ReplicationPlace.content(of: place.state()).count
        for start in stride(from: 0, to: 4000, by: 40) {
            let values = (start..<start + 40).map {
                ("key\($0)".bytes, [UInt8](repeating: UInt8($0 & 255), count: 1000))
            }
            try await cache.setMulti(Dictionary(uniqueKeysWithValues: values))
        }
        for number in 0..<4000 {
            #expect(try cache.get("key\(number)") == [UInt8](repeating: UInt8(number & 255), count: 1000))
        }
        #expect(try ReplicationPlace.content(of: place.state()).count > 2 * size)
        #expect(cache.status.rebuilds == 1)
        cache.close()
        // The file keeps its size, and is not rebuilt from the log.
        let again = try place.cache { $0.updateBytesMax = 64 << 10 }
        #expect(again.status.rebuilds == 0)
        #expect(try again.keys().count == 4000)
    }

    @Test func aKeyWrittenOverAndOverNeedsNoLargerFile() async throws {
        let place = try ReplicationPlace()
        let cache = try place.cache { $0.updateBytesMax = 64 << 10 }
        for number in 0..<1500 { try await cache.set("key\(number % 3)", [UInt8](repeating: 1, count: 1000)) }
        #expect(try ReplicationPlace.content(of: place.state()).count == 1 << 20 + 4096)
    }

    @Test(arguments: LogKind.all) func aCopyOfAClosedFileNeedsNoRebuild(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let first = try place.cache("first")
        for number in 1...20 { try await first.set("key\(number)", "\(number)".bytes) }
        first.close()
        try FileManager.default.copyItem(atPath: place.state("first"), toPath: place.state("second"))
        _ = try place.openLog().append([record(("later", "21"))])
        let log = ChangeableLog(try place.openLog())
        let second = try place.cache("second", log: log)
        #expect(try await second.update() == 21)
        #expect(try content(second).count == 21)
        // It reads its own last record, to compare the token, and the record after it.
        #expect(Set(log.idsRead) == [20, 21])
        #expect(second.status.rebuilds == 0)
    }

    @Test(arguments: LogKind.all) func aSnapshotFileIsMadeBesideWriters(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let first = try place.cache("first")
        for number in 1...50 { try await first.set("key\(number)", "\(number)".bytes, flags: 9) }
        try await first.snapshotFile(to: place.state("copy"))
        try await first.delete("key1")
        let log = ChangeableLog(try place.openLog())
        let second = try place.cache("copy", log: log)
        try await second.update()
        #expect(second.status.rebuilds == 0)
        #expect(log.idsRead.min() == 50)
        #expect(try content(second) == content(first))
        #expect(try second.read("key2".bytes) { $0.clientFlags } == 9)
        #expect(try second.read("key2".bytes) { $0.cas } == 2)
    }

    /// Another machine has filled the log, restored from a backup, up to the id that this one has applied.
    @Test(arguments: LogKind.all)
    func aWriteBehindAReplacedRecordIsNotAppliedToTheOldState(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache("first")
        for number in 1...4 { try await cache.set("key\(number)", "\(number)".bytes) }
        try place.backUpLog()
        try await cache.set("lost", "5".bytes)
        try place.restoreLog()
        #expect(try place.openLog().append([record(("other", "5"))]) == 5)
        #expect(try await cache.set("key6", "6".bytes) == 6)
        try await cache.update()
        let expected = try content(try place.cache("second"))
        #expect(expected.count == 6 && expected["other"] == "5")
        #expect(try content(cache) == expected)
    }

    @Test(arguments: LogKind.all) func anUncleanCopyIsNotTrusted(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let first = try place.cache("first")
        try await first.set("key", "1".bytes)
        try FileManager.default.copyItem(atPath: place.state("first"), toPath: place.state("second"))
        let second = try place.cache("second")
        #expect(second.status.rebuilds == 1)
        #expect(try content(second) == ["key": "1"])
    }

    @Test(arguments: LogKind.all) func aFileOfAnotherBootIsRebuilt(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        do {
            let cache = try place.cache()
            try await cache.set("key", "1".bytes)
        }
        for (isClosed, rebuilds) in [(false, 1), (true, 0)] {
            do {
                let file = try StateFile(place.state(), arenaBytes: 1 << 20, updateBytesMax: 1 << 20)
                file.state.boot = BootIdentity(high: 1, low: 2)
                file.state.isClosed = isClosed
                try file.set("left behind".bytes, [], flags: 0, id: 1)
                try file.writeState()
            }
            let cache = try place.cache()
            #expect(cache.status.rebuilds == rebuilds)
            #expect(try cache.get("left behind") == (isClosed ? [] : nil))
        }
    }

    @Test(arguments: LogKind.all) func aStateFileThatAnotherProgramChangesIsRebuilt(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        for number in 0..<100 { try await cache.set("key\(number)", "\(number)".bytes) }
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: place.state()))
        try file.truncate(atOffset: 100_000)
        try file.close()
        try await cache.set("another", "1".bytes)
        try await cache.update()
        #expect(try content(cache).count == 101)
        #expect(cache.status.rebuilds >= 2)
    }

    @Test(arguments: LogKind.all) func anotherProcessOfTheMachineTakesOver(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let first = try place.cache()
        let second = try place.cache()
        #expect(first.status.isApplier)
        try await second.set("key", "1".bytes)
        #expect(!second.status.isApplier)
        first.close()
        try await second.set("key", "2".bytes)
        #expect(second.status.isApplier)
        #expect(try second.get("key") == "2".bytes)
        await #expect(throws: ReplicationError.closed) { try await first.set("key", "3".bytes) }
    }
}

/// A replica whose log fails, or is replaced by another log.
@Suite(.serialized) struct LogFaultTests {
    @Test(arguments: LogKind.all) func readsGoOnWhileTheLogIsDown(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let log = ChangeableLog(try place.openLog())
        let cache = try place.cache(log: log)
        try await cache.set("key", "1".bytes)
        log.become(.down)
        #expect(try cache.get("key") == "1".bytes)
        await #expect(throws: ReplicationError.logRefused(path: "log", reason: "it is down")) {
            try await cache.set("key", "2".bytes)
        }
        await #expect(throws: ReplicationError.self) { try await cache.update() }
        #expect(try cache.get("key") == "1".bytes)
        log.become(.none)
        try await cache.set("key", "3".bytes)
        #expect(try cache.get("key") == "3".bytes)
    }

    @Test(arguments: LogKind.all) func anUnknownOutcomeIsItsOwnErrorAndARetryIsHarmless(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let log = ChangeableLog(try place.openLog())
        let cache = try place.cache(log: log)
        log.become(.outcomeLost)
        await #expect(throws: ReplicationError.outcomeUnknown(reason: "the connection was lost")) {
            try await cache.set("key", "1".bytes)
        }
        log.become(.none)
        #expect(try await cache.set("key", "1".bytes) == 2)
        #expect(try content(cache) == ["key": "1"])
    }

    @Test func aMachineWithoutStateDoesNotOpenWhileTheLogIsDown() throws {
        let place = try ReplicationPlace()
        let log = ChangeableLog(try place.openLog())
        log.become(.down)
        #expect(throws: ReplicationError.logRefused(path: "log", reason: "it is down")) {
            try place.cache(log: log) { $0.openMillisecondsMax = 5_000 }
        }
    }

    /// The log is restored from a backup, and may have gone on since.
    @Test(arguments: LogKind.all, [0, 3, 4, 5])
    func aLogThatWasRestoredIsNoticed(_ kind: LogKind, recordsSince: Int) async throws {
        let place = try ReplicationPlace(kind)
        do {
            let cache = try place.cache()
            for number in 1...3 { try await cache.set("key\(number)", "old".bytes) }
            try place.backUpLog()
            for number in 2...5 { try await cache.set("key\(number)", "lost".bytes) }
        }
        try place.restoreLog()
        var expected = ["key1": "old", "key2": "old", "key3": "old"]
        for number in 0..<recordsSince {
            _ = try place.openLog().append([record(("other\(number)", "new"))])
            expected["other\(number)"] = "new"
        }
        let cache = try place.cache()
        try await cache.update()
        #expect(try content(cache) == expected)
        #expect(cache.status.rebuilds == 1)
        // Later records are applied, too.
        try await cache.set("key1", "new".bytes)
        #expect(try cache.get("key1") == "new".bytes)
    }

    @Test(arguments: LogKind.all)
    func aRecordOfANewerVersionStopsTheReplicaAndNotItsReaders(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache { $0.applyMillisecondsMax = 2_000 }
        try await cache.set("key", "1".bytes)
        _ = try place.openLog().append([UpdateRecord(token: .random(), contents: [9, 9, 9])])
        await #expect(throws: ReplicationError.notApplied(id: 3)) { try await cache.set("key", "2".bytes) }
        #expect(try cache.get("key") == "1".bytes)
        #expect(cache.status.error == .recordUnreadable(id: 2))
    }
}
