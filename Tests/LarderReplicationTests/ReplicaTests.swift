import Foundation
import LarderStore
import Synchronization
import Testing

@testable import LarderReplication

/// The thread that applies, its file, and their limits.
@Suite(.serialized) struct ReplicaTests {
    private let place: ReplicationPlace

    init() throws { place = try ReplicationPlace() }

    /// A read of the log ends with a large record: here that is the one that was applied last.
    @Test func aLargeRecordDoesNotHideTheNextOne() throws {
        let log = try place.openLog()
        let replica = try Replica(place.state(), arenaBytes: 1 << 20, updateBytesMax: 16 << 20)
        for id in 1...3 as ClosedRange<UInt64> {
            let value = [UInt8](repeating: UInt8(id), count: 9 << 20)
            _ = try log.append([UpdateRecord([.set(key: "key".bytes, value: value, flags: 0)])])
            _ = try replica.step(log)
            #expect(replica.applied.id == id)
        }
        #expect(replica.rebuilds == 1)
    }

    /// A file that is full is opened again. Here that fails at the new size and at the old one.
    @Test func aFileThatCouldNotBeOpenedAgainIsOpenedLater() throws {
        let (directory, away) = (place.path + "/states", place.path + "/away")
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let file = try StateFile(directory + "/state", arenaBytes: 1 << 20, updateBytesMax: 16 << 10)
        try file.begin(isSynced: false)
        try FileManager.default.moveItem(atPath: directory, toPath: away)
        let value = [UInt8](repeating: 1, count: 1000)
        var count = 0
        #expect(throws: ReplicationError.self) {
            while count < 10_000 {
                try file.set("key\(count)".bytes, value, flags: 0, id: 1)
                count += 1
            }
        }
        #expect(throws: ReplicationError.self) { try file.check() }
        try FileManager.default.moveItem(atPath: away, toPath: directory)
        try file.check()
        try file.set("another".bytes, value, flags: 0, id: 2)
        try file.close()
        #expect(throws: ReplicationError.closed) { try file.check() }
        // All of them, and the state.
        #expect(try LockedReader(directory + "/state").keys()?.count == count + 2)
    }

    @Test func aRebuildAsksBetweenItsPiecesWhetherToGoOn() throws {
        let log = ChangeableLog(try place.openLog())
        _ = try log.append((1...3000).map { try record(("key\($0)", "value")) })
        let replica = try Replica(place.state(), arenaBytes: 1 << 20, updateBytesMax: 16 << 10)
        func stopAtTheSecondPiece() {
            var pieces = 0
            #expect(throws: ReplicationError.closed) {
                _ = try replica.step(log) { () throws(ReplicationError) in
                    pieces += 1
                    if pieces == 2 { throw .closed }
                }
            }
            #expect(pieces == 2)
        }
        stopAtTheSecondPiece()
        #expect(log.idsRead.count == 1024)
        var items = (1...2000).map { SnapshotItem(key: "key\($0)".bytes, value: [], flags: 0, id: 1) }
        try log.rewrite(before: log.latest()) { items.popLast() }
        stopAtTheSecondPiece()
        _ = try replica.step(log)
        #expect(replica.applied.id == 3000)
    }

    @Test func recordsOfThisProcessAreAppliedOnlyBehindTheRecordThatTheyFollow() throws {
        let log = ChangeableLog(try place.openLog())
        let replica = try Replica(place.state(), arenaBytes: 1 << 20, updateBytesMax: 16 << 10)
        let records = try (1...4).map { try record(("key", "\($0)")) }
        // There is no file yet.
        #expect(try !replica.apply([records[0]], after: .start))
        _ = try log.append([records[0]])
        while try replica.step(log) {}
        #expect(replica.applied.id == 1)
        _ = try log.append(Array(records[1...2]))
        #expect(try replica.apply(Array(records[1...2]), after: replica.applied))
        #expect(replica.applied == (try log.latest()))
        for point in [UpdatePoint.start, UpdatePoint(id: 3, token: records[1].token)] {
            #expect(try !replica.apply([records[3]], after: point))
        }
        #expect(replica.applied.id == 3 && Set(log.idsRead) == [1])
        let readers = try StateReaders(place.state())
        let found = "key".bytes.withUnsafeBytes { key in readers.withValue(key) { Array($0.value) } }
        guard case .found(let value) = found else { throw ReplicationError.unavailable }
        #expect(value == "3".bytes)
    }

    @Test func aCacheThatIsClosedDoesNotReadTheWholeLogFirst() throws {
        let log = LongLog(count: 20_000_000)
        #expect(throws: ReplicationError.self) { try place.cache(log: log) { $0.openMillisecondsMax = 50 } }
        #expect(log.highestRead.load(ordering: .relaxed) < log.count)
    }

    /// The lock of the state file cannot be opened. Once the thread tried that again without a pause.
    @Test func aProcessThatCannotApplyPausesBeforeItTriesAgain() async throws {
        try FileManager.default.createDirectory(
            atPath: place.state() + ".lock", withIntermediateDirectories: false)
        var configuration = ReplicatedCache.Configuration()
        configuration.applyMillisecondsMax = 500
        let applier = try Applier(place.state(), place.openLog(), configuration)
        let started = BlockingThread { applier.run() }
        let thread = try #require(started)
        let result: Result<UInt64, ReplicationError> = await withCheckedContinuation { continuation in
            applier.whenApplied(1) { continuation.resume(returning: $0) }
        }
        let failures = applier.status.takeOverFailures
        applier.stop()
        thread.join()
        #expect(result == .failure(.notApplied(id: 1)))
        // Five or six, and more only if this thread had to wait for seconds.
        #expect(1...100 ~= failures)
    }

    @Test func theLongestTimesAreTaken() async throws {
        let cache = try place.cache {
            ($0.applyMillisecondsMax, $0.openMillisecondsMax, $0.readMillisecondsMax) = (.max, .max, .max)
        }
        try await cache.set("key", "value".bytes)
        #expect(try cache.keys() == ["key".bytes])
        #expect(try place.openLog().wait(after: 0, milliseconds: .max, wakeups: []))
        #expect(monotonicMilliseconds(in: .max) == .max)
        #expect(monotonicMilliseconds(in: .min) <= monotonicMilliseconds())
    }

    @Test func aCacheWithoutThreadsIsNotOpened() throws {
        let child = try Probe(place, "threadless")
        child.awaitEnd()
        let refused = ReplicationError.logRefused(path: place.state(), reason: "the system gives no thread for it")
        #expect(child.lines == ["\(refused)"])
    }

    /// Each thread lists the keys while it has the reader that belongs to it.
    @Test func aListingKeepsNoThreadFromReading() async throws {
        let cache = try place.cache()
        try await cache.set("key", "value".bytes)
        let readers = try StateReaders(place.state())
        let counts = Mutex<[Int]>([])
        @Sendable func list(beside more: Int) {
            let found = Array("key".utf8).withUnsafeBytes { key in
                readers.withValue(key) { _ in readers.sortedKeys()?.count ?? 0 }
            }
            if case .found(let count) = found { counts.withLock { $0.append(count) } }
            // Threads that run at the same time have different readers.
            if more > 0 { BlockingThread { list(beside: more - 1) }?.join() }
        }
        list(beside: 7)
        #expect(counts.withLock { $0 } == [Int](repeating: 1, count: 8))
    }

    /// A replica of a copy that has later values than it says would go back to earlier ones.
    @Test func aSnapshotFileHasNothingNewerThanItSays() async throws {
        let cache = try place.cache("first")
        let keys = (0..<2000).map { "key\($0)".bytes }
        let isDone = Flag()
        try await cache.setMulti(Dictionary(uniqueKeysWithValues: keys.map { ($0, "0".bytes) }))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                var number = 0
                while !isDone.isSet {
                    number += 1
                    let value = "\(number)".bytes
                    try await cache.setMulti(Dictionary(uniqueKeysWithValues: keys.map { ($0, value) }))
                }
            }
            defer { isDone.set() }
            for number in 0..<20 {
                let path = place.state("copy\(number)")
                try await cache.snapshotFile(to: path)
                let reader = try LockedReader(path)
                let applied = try #require(reader.state()).applied.id
                var newest: UInt64 = 0
                for key in keys {
                    let found = key.withUnsafeBytes { reader.withValue($0) { $0.cas } }
                    if case .found(let id) = found { newest = max(newest, id) }
                }
                #expect(newest > 0)
                #expect(newest <= applied)
            }
            isDone.set()
            try await group.waitForAll()
        }
        let last = try place.cache("copy19")
        try await last.update()
        #expect(last.status.rebuilds == 0)
        #expect(try content(last) == content(cache))
    }
}

/// Set once, by any task.
private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .relaxed) }
    func set() { value.store(true, ordering: .relaxed) }
}

/// A log of many records, made when they are read.
private final class LongLog: UpdateLog {
    let count: UInt64
    let highestRead = Atomic<UInt64>(0)
    private let record: UpdateRecord

    init(count: UInt64) {
        self.count = count
        record = UpdateRecord(token: .random(), contents: [1, 1, 0, 0, 0, 2, 1, 0, 65])
    }

    func append(_ records: [UpdateRecord]) throws(ReplicationError) -> UInt64 { throw .closed }

    func latest() throws(ReplicationError) -> UpdatePoint { UpdatePoint(id: count, token: record.token) }

    func read(after id: UInt64, limit: Int) throws(ReplicationError) -> [UpdateEntry] {
        let last = min(count, id + UInt64(limit))
        guard id < last else { return [] }
        highestRead.store(last, ordering: .relaxed)
        return (id + 1...last).map { UpdateEntry(id: $0, record: record) }
    }

    func snapshot() throws(ReplicationError) -> UpdatePoint? { nil }

    func readSnapshot(
        at point: UpdatePoint, _ visit: (SnapshotItem) throws(ReplicationError) -> Void
    ) throws(ReplicationError) -> Bool { false }

    func rewrite(
        before point: UpdatePoint, _ next: () throws(ReplicationError) -> SnapshotItem?
    ) throws(ReplicationError) {}

    func trim() throws(ReplicationError) {}

    func wait(after id: UInt64, milliseconds: Int, wakeups: [Int32]) throws(ReplicationError) -> Bool {
        usleep(1000)
        return false
    }
}
