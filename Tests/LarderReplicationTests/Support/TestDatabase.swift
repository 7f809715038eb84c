import Foundation
import Glibc
import LarderTesting
import Testing

@testable import LarderReplication

#if MariaDB
    @testable import LarderMariaDB
#endif
#if PostgreSQL
    @testable import LarderPostgreSQL
#endif

/// A database server with an empty data directory, on a Unix socket and a free port. It ends with the test program,
/// even if that is killed.
final class TestDatabase: @unchecked Sendable {
    // SAFETY: `@unchecked` because a test that kills the server owns it, and others only read.
    let kind: LogKind
    private let path: String
    private let port: Int
    private let isDurable: Bool
    private var process: ChildProcess?

    /// The servers that tests share.
    private static let mariaDB = Result { try TestDatabase(.mariaDB, isDurable: false) }
    private static let postgreSQL = Result { try TestDatabase(.postgreSQL, isDurable: false) }
    static func shared(_ kind: LogKind) throws -> TestDatabase {
        try kind == .mariaDB ? mariaDB.get() : postgreSQL.get()
    }

    /// - Parameter isDurable: whether a commit waits for the disk. Only tests that kill the server need that.
    init(_ kind: LogKind, isDurable: Bool = true) throws {
        self.kind = kind
        self.isDurable = isDurable
        path = try TestDirectory.make()
        port = Self.freePort()
        switch kind {
        case .file: break
        case .mariaDB:
            try command(
                "mariadb-install-db", "--no-defaults", "--datadir=\(path)/data", "--user=\(Self.account)",
                "--auth-root-authentication-method=normal", "--skip-test-db")
            try start()
            try execute("CREATE DATABASE larder", in: "")
        case .postgreSQL:
            if getuid() == 0 { try command("chown", "postgres", path) }
            try command(
                arguments: Self.asPostgres + [
                    Self.postgresProgram("initdb"), "-D", path + "/data", "-U", "larder", "--auth-local=trust",
                    "--auth-host=scram-sha-256", "--no-sync",
                ])
            try start()
        }
    }

    deinit { end() }

    private static var account: String { String(cString: getpwuid(getuid()).pointee.pw_name) }

    /// PostgreSQL refuses to run as root.
    private static var asPostgres: [String] {
        getuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] : []
    }

    private static func postgresProgram(_ name: String) -> String {
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: "/usr/lib/postgresql")) ?? []
        return versions.sorted().last.map { "/usr/lib/postgresql/\($0)/bin/\(name)" } ?? name
    }

    private static func freePort() -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(descriptor, $0, length)
                getsockname(descriptor, $0, &length)
            }
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    // MARK: Running

    private func command(_ arguments: String...) throws { try command(arguments: arguments) }

    private func command(arguments: [String]) throws {
        let output = path + "-output"
        let process = try ChildProcess(
            executable: "/usr/bin/env", arguments: arguments, environment: [:], outputPath: output)
        process.awaitEnd()
        let text = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
        unlink(output)
        try #require(process.hasSucceeded, "\(arguments[0]): \(text)")
    }

    private var server: [String] {
        if kind == .mariaDB {
            return [
                "mariadbd", "--no-defaults", "--datadir=\(path)/data", "--user=\(Self.account)",
                "--socket=\(path)/socket", "--bind-address=127.0.0.1", "--port=\(port)",
                "--pid-file=\(path)/server.pid", "--innodb-buffer-pool-size=64M", "--skip-name-resolve",
                "--innodb-flush-log-at-trx-commit=\(isDurable ? 1 : 0)",
            ]
        }
        return Self.asPostgres + [
            Self.postgresProgram("postgres"), "-D", path + "/data", "-k", path, "-c", "listen_addresses=127.0.0.1",
            "-c", "port=\(port)", "-c", "shared_buffers=64MB", "-c", "fsync=\(isDurable ? "on" : "off")",
        ]
    }

    /// Starts the server, and waits until it answers.
    func start() throws {
        let deadline = Date(timeIntervalSinceNow: 60)
        while Date() < deadline {
            // Of a killed PostgreSQL, a process may be there a little longer. A new server does not start then.
            if process?.isRunning != true { try run() }
            if (try? execute(kind == .mariaDB ? "DO 0" : "SELECT 1", in: kind == .mariaDB ? "" : "postgres")) != nil {
                return
            }
            usleep(20_000)
        }
        Issue.record("\(kind) does not answer: \((try? String(contentsOfFile: path + "-log", encoding: .utf8)) ?? "")")
    }

    private func run() throws {
        // Ends the server when the test program has ended.
        let script = """
            PATH=$PATH:/usr/sbin; cd /tmp
            "$@" & server=$!
            echo $server > '\(path)/pid'
            (
                while [ -d /proc/$PPID ]; do sleep 1; done
                kill -9 $server
                sleep 1
                rm -rf '\(path)' '\(path)-log'
            ) & watcher=$!
            wait $server
            kill $watcher
            """
        process = try ChildProcess(
            executable: "/bin/sh", arguments: ["-c", script, "sh"] + server, environment: [:],
            outputPath: path + "-log")
    }

    /// `kill -9` of the server's first process.
    func kill() throws {
        let text = try String(contentsOfFile: path + "/pid", encoding: .utf8)
        let identifier = try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
        try #require(process?.isRunning == true, "the server is not running")
        try #require(Glibc.kill(identifier, SIGKILL) == 0, "the server was not killed")
        process?.awaitEnd()
    }

    private func end() {
        if process?.isRunning == true { try? kill() }
        try? FileManager.default.removeItem(atPath: path)
        unlink(path + "-log")
    }

    // MARK: Statements and URLs

    /// The URL of a log in the database, by way of the Unix socket. A machine that runs other tests may take seconds to
    /// answer.
    func url(table: String, database: String? = nil) -> String {
        let options = "table=\(table)&connect_timeout=30&answer_timeout=60"
        return switch kind {
        case .mariaDB: "mariadb://root@/\(database ?? "larder")?socket=\(path)/socket&\(options)"
        default: "postgresql://larder@/\(database ?? "postgres")?host=\(path)&port=\(port)&\(options)"
        }
    }

    /// The same by way of TCP, where a password is asked for.
    func networkURL(login: String, table: String, _ options: String = "") -> String {
        switch kind {
        case .mariaDB: "mariadb://\(login)@127.0.0.1:\(port)/larder?table=\(table)\(options)"
        default: "postgresql://\(login)@127.0.0.1:\(port)/postgres?table=\(table)\(options)"
        }
    }

    static func log(_ url: String) throws -> any UpdateLog {
        #if MariaDB
            if url.hasPrefix("mariadb:") { return try MariaDBLog(url: url) }
        #endif
        #if PostgreSQL
            if url.hasPrefix("postgresql:") { return try PostgreSQLLog(url: url) }
        #endif
        return try FileLog(path: url)
    }

    /// The statements that make the tables of a URL.
    static func schema(of url: String) throws -> String {
        #if MariaDB
            if url.hasPrefix("mariadb:") { return try MariaDBLog.schema(of: url) }
        #endif
        #if PostgreSQL
            if url.hasPrefix("postgresql:") { return try PostgreSQLLog.schema(of: url) }
        #endif
        throw ReplicationError.closed
    }

    /// A connection for tests that look behind a log.
    func connection(
        table: String = "larder_log", in database: String? = nil, _ role: ConnectionRole = .statements
    ) throws -> any DatabaseConnection {
        let address = try DatabaseAddress(
            url(table: table, database: database), schemes: ["mariadb", "postgresql"])
        #if MariaDB
            if kind == .mariaDB { return try MariaDBConnection(address, role) }
        #endif
        #if PostgreSQL
            if kind == .postgreSQL { return try PostgreSQLConnection(address, role) }
        #endif
        throw address.refused("the tests were built without the trait for it")
    }

    func execute(_ texts: String..., in database: String? = nil) throws {
        let connection = try connection(in: database)
        for text in texts { try connection.execute(text) }
    }
}
