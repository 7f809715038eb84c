package import LarderReplication
import Synchronization

/// The kinds of logs that `log=` can name, by the scheme of their URLs. The server knows files. The program registers
/// others, so that the server links no library of a database.
package enum UpdateLogs {
    /// Opens the log of a URL.
    package typealias Maker = @Sendable (_ url: String) throws(ReplicationError) -> any UpdateLog

    private static let makers = Mutex<[String: Maker]>(["file": makeFileLog])

    /// Adds a kind of log.
    package static func register(scheme: String, _ maker: @escaping Maker) {
        makers.withLock { $0[scheme] = maker }
    }

    /// The schemes, for messages.
    static var schemes: [String] { makers.withLock { $0.keys.sorted() } }

    /// Opens a log. It may have to wait for a database.
    static func open(_ url: String) throws(ReplicationError) -> any UpdateLog {
        guard let maker = maker(of: url) else { throw .logRefused(path: url, reason: "there is no such kind of log") }
        return try maker(url)
    }

    /// Whether there is such a kind of log.
    static func isKnown(_ url: String) -> Bool {
        guard maker(of: url) != nil else { return false }
        return scheme(of: url) != "file" || filePath(of: url) != nil
    }

    /// Whether a URL has a password. The log line of the settings and `--check-config` would show it.
    static func hasPassword(_ url: String) -> Bool {
        guard let mark = url.firstRange(of: "://") else { return false }
        let parts = url[mark.upperBound...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        if let at = parts[0].lastIndex(of: "@"), parts[0][..<at].contains(":") { return true }
        let options = parts.dropFirst().first?.split(separator: "&") ?? []
        return options.contains { $0.hasPrefix("password=") }
    }

    private static func maker(of url: String) -> Maker? {
        guard let scheme = scheme(of: url) else { return nil }
        return makers.withLock { $0[scheme] }
    }

    private static func scheme(of url: String) -> String? {
        guard let colon = url.firstIndex(of: ":"), url[colon...].hasPrefix("://") else { return nil }
        return url[..<colon].lowercased()
    }

    /// The absolute path of `file:///PATH`.
    private static func filePath(of url: String) -> String? {
        let path = url.dropFirst("file://".count)
        return path.count > 1 && path.first == "/" ? String(path) : nil
    }

    private static func makeFileLog(_ url: String) throws(ReplicationError) -> any UpdateLog {
        guard let path = filePath(of: url) else {
            throw .logRefused(path: url, reason: "a file log is file:// and an absolute path")
        }
        return try FileLog(path: path)
    }
}
