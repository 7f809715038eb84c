import Foundation
import Testing

@testable import LarderReplication

/// URLs, passwords, and databases that are not as they should be.
@Suite(.serialized) struct DatabaseAccessTests {
    @Test func aURLIsTakenApart() throws {
        let address = try DatabaseAddress(
            "postgres://a%40b:p:w%2F@[::1]:77,other/my%20db?table=prices&answer_timeout=7&sslmode=require",
            schemes: ["postgres"])
        #expect(address.user == "a@b")
        #expect(try address.readPassword() == "p:w/")
        #expect(address.hosts.map(\.name) == ["::1", "other"])
        #expect(address.hosts.map(\.port) == ["77", ""])
        #expect(address.database == "my db")
        #expect(address.table == "prices")
        #expect(address.answerSeconds == 7)
        #expect(address.options.map(\.name) == ["sslmode"])
        #expect(!address.shown.contains("p:w"))
    }

    @Test(arguments: [
        "", "file:///log", "postgres:/x", "postgres://u:secret@h:port/d", "postgres://u:secret%zz@h/d",
        "postgres://u:secret@h/d?table=a-b", "postgres://u:secret@h/d?table=1a", "postgres://u:secret@h/d?table=",
        "postgres://u:secret%0@h/d", "postgres://u:secret%00@h/d", "postgres://u:secret@h/d?answer_timeout=0",
        "postgres://u:secret@h/d?answer_timeout=3601", "postgres://u:secret@h/d?answer_timeout=x",
    ])
    func aBadURLIsRefusedWithoutItsPassword(url: String) {
        do {
            _ = try DatabaseAddress(url, schemes: ["postgres"])
            Issue.record("taken: \(url)")
        } catch {
            #expect(!"\(error)".contains("secret"), "\(error)")
        }
    }

    /// By the URL and by a file; a wrong one is refused, and is in no error.
    @Test(arguments: LogKind.databases) func passwords(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let database = try TestDatabase.shared(kind)
        let user = "u" + place.table.prefix(12)
        let quoted = kind == .mariaDB ? "'\(user)'@'127.0.0.1'" : user
        try database.execute(
            kind == .mariaDB
                ? "CREATE USER \(quoted) IDENTIFIED BY 'right pass'" : "CREATE USER \(quoted) PASSWORD 'right pass'")
        // The rights that docs/replicated-caches.md lists.
        for part in ["counter", "records", "snapshot"] {
            try database.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON \(place.table)_\(part) TO \(quoted)")
        }
        let file = place.path + "/password"
        try "right pass\n".write(toFile: file, atomically: true, encoding: .utf8)
        let urls = [
            database.networkURL(login: "\(user):right%20pass", table: place.table),
            database.networkURL(login: user, table: place.table, "&passwordfile=\(file)"),
        ]
        for (number, url) in urls.enumerated() {
            let log = try TestDatabase.log(url)
            #expect(try log.append([record(("key", "1"))]) == UInt64(number + 1))
            try log.rewrite(before: log.latest()) { nil }
        }
        let wrong = try TestDatabase.log(database.networkURL(login: "\(user):wrongpass", table: place.table))
        do {
            _ = try wrong.append([record(("key", "1"))])
            Issue.record("a wrong password is taken")
        } catch {
            #expect("\(error)".contains(user), "\(error)")
            #expect(!"\(error)".contains("wrongpass"), "\(error)")
        }
    }

    @Test(arguments: LogKind.databases) func tablesThatAreMissingAreNamed(_ kind: LogKind) throws {
        let log = try TestDatabase.log(TestDatabase.shared(kind).url(table: "nowhere"))
        let calls: [() throws -> Void] = [{ _ = try log.latest() }, { _ = try log.append([record(("key", "1"))]) }]
        for call in calls {
            do {
                try call()
                Issue.record("there are no tables")
            } catch {
                #expect("\(error)".contains("nowhere_counter"), "\(error)")
                #expect("\(error)".contains("make the tables first"), "\(error)")
            }
        }
    }

    @Test(arguments: LogKind.databases) func tablesAreMadeOnceAndByThePrintedStatements(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let log = try place.openLog()
        _ = try log.append([record(("key", "1"))])
        try ReplicationPlace.createSchema(place.log)
        #expect(try log.latest().id == 1)
        let url = try TestDatabase.shared(kind).url(table: "printed")
        for statement in try TestDatabase.schema(of: url).components(separatedBy: ";\n") where !statement.isEmpty {
            try TestDatabase.shared(kind).execute(statement)
        }
        #expect(try TestDatabase.log(url).append([record(("key", "1"))]) == 1)
    }

    /// A server that is not there: calls fail, and those within the pause at once.
    @Test(arguments: LogKind.databases) func anAbsentDatabaseIsAskedLessAndLessOften(_ kind: LogKind) throws {
        let path = try ReplicationPlace().path + "/nowhere"
        let log = try TestDatabase.log(
            kind == .mariaDB ? "mariadb://root@/larder?socket=\(path)" : "postgresql://larder@/postgres?host=\(path)")
        for _ in 0..<1000 {
            #expect(throws: ReplicationError.self) { try log.append([record(("key", "1"))]) }
        }
    }

    /// Connections that the server ends while they are idle are made anew, without an error.
    @Test(arguments: LogKind.databases) func anIdleConnectionThatIsEndedIsMadeAnew(_ kind: LogKind) throws {
        let database = try TestDatabase(kind)
        let own = try ReplicationPlace(kind, database: database)
        let log = try own.openLog()
        _ = try log.append([record(("key", "1"))])
        #expect(try log.latest().id == 1)
        try database.kill()
        try database.start()
        #expect(try log.append([record(("key", "2"))]) == 2)
        #expect(try log.latest().id == 2)
    }
}
