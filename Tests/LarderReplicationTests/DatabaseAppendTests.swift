import LarderTesting
import Testing

@testable import LarderReplication

/// What an append asks of a database, and what it tells others.
@Suite(.serialized) struct DatabaseAppendTests {
    private static let statements =
        "(SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'QUESTIONS')"

    /// Without others, MariaDB gets one statement for an append, and none for the wait after it.
    @Test(arguments: LogKind.databases.filter { $0 == .mariaDB })
    func anAppendAndTheWaitAfterItAreOneStatement(_ kind: LogKind) throws {
        let database = try TestDatabase(kind, isDurable: false)
        let log = try ReplicationPlace(kind, database: database).openLog()
        var point = try log.latest()
        func append() throws {
            let record = try record(("key", "value"))
            let appended = try log.append([record], after: point)
            #expect(appended.followsPoint)
            point = UpdatePoint(id: appended.id, token: record.token)
            #expect(try !log.wait(after: point.id, milliseconds: 0, wakeups: []))
        }
        try append()
        let watcher = try database.connection()
        try watcher.execute("SET @before = \(Self.statements)")
        for _ in 0..<20 { try append() }
        // An error unless it is so: 20 statements, and those of the watcher.
        try watcher.execute("DO IF(\(Self.statements) - @before <= 23, 0, (SELECT 1 UNION SELECT 2))")
    }

    /// Two logs append in a random order. Each knows its own last record only.
    @Test(arguments: LogKind.databases) func theAppendsOfTwoLogsAlternate(_ kind: LogKind) throws {
        let seed = drawnSeed("two logs")
        var random = SeededRandom(seed: seed)
        let place = try ReplicationPlace(kind)
        let logs = [try place.openLog(), try place.openLog()]
        var known = [UpdatePoint.start, .start]
        var last = UpdatePoint.start
        var all: [UpdateRecord] = []
        for _ in 0..<200 {
            let writer = random.number(0...1)
            let records = try (0..<random.number(1...12)).map { try record(("key\($0)", "\(all.count)")) }
            let appended = try logs[writer].append(records, after: known[writer])
            all += records
            #expect(appended.id == UInt64(all.count), "seed \(seed)")
            #expect(appended.followsPoint == (known[writer] == last), "seed \(seed)")
            last = UpdatePoint(id: appended.id, token: try #require(records.last).token)
            known[writer] = last
        }
        var read: [UpdateEntry] = []
        while read.count < all.count { read += try logs[0].read(after: UInt64(read.count), limit: 4096) }
        #expect(read.map(\.id) == Array(1...UInt64(all.count)), "seed \(seed)")
        #expect(read.map(\.record) == all, "seed \(seed)")
        #expect(try logs[0].latest() == last)
    }

    /// A wait after an own append does not look at the counter first, and misses nothing.
    @Test(arguments: LogKind.databases) func anAppendOfAnotherLogEndsTheWait(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let (log, other) = (try place.openLog(), try place.openLog())
        for _ in 0..<20 {
            let record = try record(("own", "1"))
            let appended = try log.append([record], after: log.latest())
            #expect(appended.followsPoint)
            #expect(try !log.wait(after: appended.id, milliseconds: 0, wakeups: []))
            _ = try other.append([record])
            #expect(try log.wait(after: appended.id, milliseconds: 30_000, wakeups: []))
        }
    }
}
