import Foundation
import LarderTesting
import Synchronization
import Testing

@testable import LarderReplication

/// Logs in databases: order, and what a lost connection or a killed server leads to.
@Suite(.serialized) struct DatabaseTests {
    private static let writers = 8
    private static let sets = 1000

    /// Makes each append pause between the counter and the commit.
    private func delayAppends(of place: ReplicationPlace) throws {
        let table = place.table
        let database = try TestDatabase.shared(place.kind)
        if place.kind == .mariaDB {
            return try database.execute(
                "CREATE TRIGGER \(table)_delay BEFORE INSERT ON \(table)_records FOR EACH ROW DO SLEEP(RAND() * 0.002)")
        }
        try database.execute(
            """
            CREATE FUNCTION \(table)_delay() RETURNS trigger AS $$
            BEGIN PERFORM pg_sleep(random() * 0.002); RETURN NEW; END $$ LANGUAGE plpgsql
            """,
            """
            CREATE TRIGGER \(table)_delay BEFORE INSERT ON \(table)_records
            FOR EACH ROW EXECUTE FUNCTION \(table)_delay()
            """)
    }

    /// Eight logs append, and two replicas follow. Each applies every id once, in order.
    @Test(arguments: LogKind.databases) func noReplicaSkipsAnID(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        try delayAppends(of: place)
        let logs = [ChangeableLog(try place.openLog()), ChangeableLog(try place.openLog())]
        let replicas = try logs.enumerated().map { try place.cache("replica\($0.offset)", log: $0.element) }
        let ids = Mutex<[UInt64]>([])
        let threads = try (0..<Self.writers).compactMap { writer in
            let log = try place.openLog()
            return BlockingThread {
                for number in 0..<Self.sets {
                    let id = try? log.append([record(("\(writer)-\(number)", "\(number)"))])
                    ids.withLock { $0.append(id ?? 0) }
                }
            }
        }
        for thread in threads { thread.join() }
        let all = UInt64(Self.writers * Self.sets)
        #expect(Set(ids.withLock { $0 }) == Set(1...all))
        for (replica, log) in zip(replicas, logs) {
            #expect(try await replica.update() == all)
            #expect(replica.status.recordsApplied == Int(all))
            #expect(replica.status.rebuilds == 1)
            #expect(try replica.keys().count == Int(all))
            // A read begins with the record that was applied last, so an id may come again, and none is left out.
            let read = log.idsRead
            #expect(zip(read, read.dropFirst()).allSatisfy { $1 == $0 + 1 || $1 == $0 })
        }
    }

    /// The same writers, ids by the database's own counter, and a reader that polls for those behind the largest one
    /// it has: it loses records. So the test before would notice it.
    @Test(arguments: LogKind.databases) func anIDThatTheDatabaseCountsIsSkipped(_ kind: LogKind) throws {
        let database = try TestDatabase.shared(kind)
        let table = "own_ids"
        let id = kind == .mariaDB ? "BIGINT UNSIGNED AUTO_INCREMENT" : "BIGSERIAL"
        try database.execute("CREATE TABLE \(table)_records (id \(id) PRIMARY KEY, bytes BIGINT NOT NULL)")
        let sleep = kind == .mariaDB ? "DO SLEEP(RAND() * 0.002)" : "SELECT pg_sleep(random() * 0.002)"
        let failures = Mutex(0)
        let threads = try (0..<Self.writers).compactMap { _ in
            let connection = try database.connection(table: table, .transactions)
            return BlockingThread {
                for _ in 0..<Self.sets {
                    do {
                        for text in ["BEGIN", "INSERT INTO \(table)_records (bytes) VALUES (1)", sleep, "COMMIT"] {
                            try connection.execute(text)
                        }
                    } catch { failures.withLock { $0 += 1 } }
                }
            }
        }
        let reading = Atomic(true)
        let read = Mutex<[UInt64]>([])
        let connection = try database.connection(table: table)
        let reader = BlockingThread {
            var last: UInt64 = 0
            var isLast = false
            while !isLast {
                isLast = !reading.load(ordering: .acquiring)
                let rows = (try? connection.run(.sizes, [.number(last), .number(1_000_000)]).rows) ?? []
                last = rows.last?[0].number ?? last
                read.withLock { $0 += rows.map { $0[0].number } }
            }
        }
        for thread in threads { thread.join() }
        reading.store(false, ordering: .releasing)
        try #require(reader).join()
        #expect(failures.withLock { $0 } == 0)
        let lost = Self.writers * Self.sets - read.withLock { $0.count }
        print("\(kind): a reader that polls an own counter of the database lost \(lost) records")
        #expect(lost > 0)
    }

    /// The server is killed again and again while two machines write. Nothing whose `set` had returned is lost, a set
    /// that failed is done again, and all replicas end equal.
    @Test(arguments: LogKind.databases) func aKilledServerLosesNothing(_ kind: LogKind) async throws {
        let seed = drawnSeed("server kills")
        var random = SeededRandom(seed: seed)
        let database = try TestDatabase(kind)
        let place = try ReplicationPlace(kind, database: database)
        let machines = try (0..<2).map { try place.cache("machine\($0)") }
        let isOver = Atomic(false)
        let unknown = Atomic(0)
        let failed = Atomic(0)
        let tasks = (0..<6).map { task in
            let cache = machines[task % 2]
            return Task { @Sendable () -> Int in
                var number = 0
                var mustRepeat = false
                while mustRepeat || !isOver.load(ordering: .relaxed) {
                    do throws(ReplicationError) {
                        try await cache.set("key\(task)", "\(number + 1)".bytes)
                        number += 1
                        mustRepeat = false
                    } catch {
                        mustRepeat = true
                        // Reads go on.
                        let value = try cache.get("key\(task)").flatMap { Int($0.text) } ?? 0
                        if value < number { Issue.record("key\(task) went back from \(number) to \(value)") }
                        switch error {
                        case .outcomeUnknown: unknown.add(1, ordering: .relaxed)
                        default: failed.add(1, ordering: .relaxed)
                        }
                        try await Task.sleep(for: .milliseconds(2))
                    }
                }
                return number
            }
        }
        for _ in 0..<4 {
            _ = poll(nil, 0, Int32(random.number(200...600)))
            database.kill()
            try database.start()
        }
        var goal: UInt64?
        // A log that has just lost its database pauses before it connects.
        let deadline = Date(timeIntervalSinceNow: 20)
        while goal == nil, Date() < deadline { goal = try? await machines[0].set("last", "1".bytes) }
        isOver.store(true, ordering: .relaxed)
        var expected = ["last": "1"]
        for (task, writer) in tasks.enumerated() { expected["key\(task)"] = "\(try await writer.value)" }
        let sum = expected.values.compactMap { Int($0) }.reduce(0, +)
        print(
            "\(kind): sets that returned \(sum), failed \(failed.load(ordering: .relaxed)),",
            "unknown \(unknown.load(ordering: .relaxed))")
        #expect(sum > 100, "seed \(seed)")
        let least = try #require(goal)
        for cache in machines + [try place.cache("fresh")] {
            #expect(try await cache.update() >= least)
            #expect(try content(cache) == expected, "seed \(seed)")
        }
        for cache in machines { cache.close() }
    }
}
