import Glibc
import LarderReplication

#if MariaDB
    import LarderMariaDB
#endif
#if PostgreSQL
    import LarderPostgreSQL
#endif

/// The Swift service of docker/compose.replicated.yaml: answers `GET /KEY` with the value that a replicated cache has.
/// It reads the value in its own process, so a request needs no other program.
///
///     LARDER_LOG_URL=URL replicated-demo STATE ADDRESS PORT
///
/// `GET /` gives the id of the last record that was applied.
@main
struct ReplicatedDemo {
    /// Why the service does not run.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static func main() {
        let words = CommandLine.arguments
        // SAFETY: no thread of this process changes the environment, and the string is copied.
        let url = getenv("LARDER_LOG_URL").map { String(cString: $0) }
        guard words.count == 4, let port = UInt16(words[3]), let url else {
            tell("usage: LARDER_LOG_URL=URL replicated-demo STATE ADDRESS PORT")
            exit(64)
        }
        do {
            let listener = try HTTPListener(address: words[2], port: port)
            let cache = try ReplicatedCache(log: log(url), stateFile: words[1])
            tell("serves \(words[2]):\(port)")
            while true { try listener.answerNext { answer($0, cache) } }
        } catch {
            tell("\(error)")
            exit(1)
        }
    }

    /// The log of a URL.
    private static func log(_ url: String) throws -> any UpdateLog {
        #if MariaDB
            if url.hasPrefix("mariadb:") { return try MariaDBLog(url: url) }
        #endif
        #if PostgreSQL
            if url.hasPrefix("postgresql:") { return try PostgreSQLLog(url: url) }
        #endif
        throw Failure(
            description: "LARDER_LOG_URL is none of a database that this program was built for: "
                + "build it with swift build --traits MariaDB,PostgreSQL --product replicated-demo")
    }

    private static func answer(_ key: String, _ cache: ReplicatedCache) -> HTTPListener.Answer {
        guard !key.isEmpty else { return .init(status: "200 OK", body: Array("applied \(cache.updateID)\n".utf8)) }
        do {
            guard let value = try cache.get(key) else { return .init(status: "404 Not Found", body: []) }
            return .init(status: "200 OK", body: value)
        } catch {
            return .init(status: "503 Service Unavailable", body: Array("\(error)\n".utf8))
        }
    }
}

/// A line on standard error.
func tell(_ text: String) {
    let bytes = Array("replicated-demo: \(text)\n".utf8)
    _ = write(STDERR_FILENO, bytes, bytes.count)
}
