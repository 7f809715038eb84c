import Glibc
import LarderReplication

#if MariaDB
    import LarderMariaDB
#endif
#if PostgreSQL
    import LarderPostgreSQL
#endif

/// Where a log is: a directory, or the URL of a database.
struct LogLocation {
    private enum Kind {
        case directory
        case mariaDB
        case postgreSQL
        case unknown
    }
    private let text: String
    private let kind: Kind

    init(_ text: String) {
        self.text = text
        let scheme = text.firstRange(of: "://").map { String(text[..<$0.lowerBound]) }
        kind =
            switch scheme {
            case nil: .directory
            case "mariadb", "mysql": .mariaDB
            case "postgresql", "postgres": .postgreSQL
            default: .unknown
            }
    }

    /// - Throws: `.logRefused` if the URL has a password: a command line is visible to all users of the machine.
    func requireNoPassword() throws(ReplicationError) {
        guard kind == .mariaDB || kind == .postgreSQL else { return }
        let address = try DatabaseAddress(text, schemes: ["mariadb", "mysql", "postgresql", "postgres"])
        if address.hasPassword {
            throw address.refused("a command line has no password: use passwordfile=, or \(LogRequest.variable)")
        }
    }

    /// The log, which must exist.
    func open() throws(ReplicationError) -> any UpdateLog {
        switch kind {
        case .directory:
            guard access(text + "/lock", F_OK) == 0 else {
                throw .logRefused(path: text, reason: "there is no log: make one with larder log init")
            }
            return try FileLog(path: text)
        #if MariaDB
            case .mariaDB: return try MariaDBLog(url: text)
        #endif
        #if PostgreSQL
            case .postgreSQL: return try PostgreSQLLog(url: text)
        #endif
        default: throw refusal
        }
    }

    /// Makes the directory or the tables, if they are missing.
    func create() throws(ReplicationError) {
        switch kind {
        case .directory: _ = try FileLog(path: text)
        #if MariaDB
            case .mariaDB: try MariaDBLog(url: text).createSchema()
        #endif
        #if PostgreSQL
            case .postgreSQL: try PostgreSQLLog(url: text).createSchema()
        #endif
        default: throw refusal
        }
    }

    /// The statements that make the tables.
    func schema() throws(ReplicationError) -> String {
        switch kind {
        case .directory: throw .logRefused(path: text, reason: "a directory has no tables")
        #if MariaDB
            case .mariaDB: return try MariaDBLog.schema(of: text)
        #endif
        #if PostgreSQL
            case .postgreSQL: return try PostgreSQLLog.schema(of: text)
        #endif
        default: throw refusal
        }
    }

    private var refusal: ReplicationError {
        let reason =
            switch kind {
            case .mariaDB: "this program was built without the trait MariaDB"
            case .postgreSQL: "this program was built without the trait PostgreSQL"
            default: "it begins with none of mariadb://, mysql://, postgresql://, postgres://"
            }
        return .logRefused(path: "URL", reason: reason)
    }
}
