import Glibc

/// Where the database of a log is: the parts of its URL.
///
///     SCHEME://USER:PASSWORD@HOST:PORT/DATABASE?table=NAME&passwordfile=PATH&...
package struct DatabaseAddress: Sendable {
    package let scheme: String
    package let user: String?
    private let password: String?
    /// Hosts and their ports, in the order of the URL. Empty: the client library's default.
    package let hosts: [(name: String, port: String)]
    package let database: String
    /// What stands behind the question mark, but for the log's own options.
    package let options: [(name: String, value: String)]
    /// The tables' names begin with this.
    package let table: String
    private let passwordFile: String?
    /// After so long without an answer, a connection is given up.
    package let answerSeconds: Int

    /// Options that are the log's own with every database.
    private static let ownOptions: Set = ["table", "passwordfile", "answer_timeout"]
    private static let answerSecondsUsual = 15
    /// The longest name of a table in PostgreSQL has 63 bytes.
    private static let tableBytesMax = 40

    /// - Throws: `.logRefused`, with no part of the URL that may be a password.
    package init(_ url: String, schemes: [String]) throws(ReplicationError) {
        guard let mark = url.firstRange(of: "://"), schemes.contains(String(url[..<mark.lowerBound])) else {
            throw Self.refused("a URL", "it does not begin with \(schemes[0])://")
        }
        scheme = String(url[..<mark.lowerBound])
        let parts = url[mark.upperBound...].split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let place = parts[0].split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        var authority = place[0]
        var login: [Substring] = []
        if let at = authority.lastIndex(of: "@") {
            login = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            authority = authority[authority.index(after: at)...]
        }
        user = try login.first.map { text throws(ReplicationError) in try Self.decoded(text) }
        password = try login.dropFirst().first.map { text throws(ReplicationError) in try Self.decoded(text) }
        hosts = try Self.hosts(authority)
        database = try place.count > 1 ? Self.decoded(place[1]) : ""
        var options: [(name: String, value: String)] = []
        for pair in parts.dropFirst().first?.split(separator: "&") ?? [] {
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = try sides.count > 1 ? Self.decoded(sides[1]) : ""
            options.append((String(sides[0]), value))
        }
        table = options.last { $0.name == "table" }?.value ?? "larder_log"
        passwordFile = options.last { $0.name == "passwordfile" }?.value
        let answerText = options.last { $0.name == "answer_timeout" }?.value
        answerSeconds = answerText.map { Int($0) ?? 0 } ?? Self.answerSecondsUsual
        self.options = options.filter { !Self.ownOptions.contains($0.name) }
        guard Self.isName(table) else {
            throw refused("table= needs 1 to \(Self.tableBytesMax) letters, digits and _, and no digit first")
        }
        guard (1...3600).contains(answerSeconds) else { throw refused("answer_timeout= needs 1 to 3600 seconds") }
    }

    private static func hosts(_ text: Substring) throws(ReplicationError) -> [(name: String, port: String)] {
        var hosts: [(name: String, port: String)] = []
        for part in text.split(separator: ",") {
            // The port stands behind the last colon, unless that is one of an IPv6 address in brackets.
            let colon = part.lastIndex(of: ":").flatMap { part[$0...].contains("]") ? nil : $0 }
            let port = colon.map { String(part[part.index(after: $0)...]) } ?? ""
            guard port.isEmpty || UInt16(port) != nil else { throw refused("a URL", "its port is no number") }
            let name = try decoded(part[..<(colon ?? part.endIndex)])
            hosts.append((name.hasPrefix("[") ? String(name.dropFirst().dropLast()) : name, port))
        }
        return hosts
    }

    private static func isName(_ text: String) -> Bool {
        guard (1...tableBytesMax).contains(text.utf8.count), let first = text.utf8.first else { return false }
        let isDigit = { (byte: UInt8) in (48...57).contains(byte) }
        let isLetter = { (byte: UInt8) in (97...122).contains(byte) || (65...90).contains(byte) || byte == 95 }
        return !isDigit(first) && text.utf8.allSatisfy { isDigit($0) || isLetter($0) }
    }

    private static func decoded(_ text: Substring) throws(ReplicationError) -> String {
        var bytes: [UInt8] = []
        var rest = Array(text.utf8)[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count >= 2 else {
                throw refused("a URL", "% is not followed by two hexadecimal digits")
            }
            bytes.append(value)
            rest = rest.dropFirst(2)
        }
        guard !bytes.contains(0) else { throw refused("a URL", "it contains a zero byte") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func refused(_ path: String, _ reason: String) -> ReplicationError {
        .logRefused(path: path, reason: reason)
    }

    /// An error of this log.
    package func refused(_ reason: String) -> ReplicationError { Self.refused(shown, reason) }

    /// The URL without its password and options, for errors.
    package var shown: String {
        let names = hosts.map { $0.name + ($0.port.isEmpty ? "" : ":" + $0.port) }.joined(separator: ",")
        return "\(scheme)://\(user.map { $0 + "@" } ?? "")\(names)/\(database)?table=\(table)"
    }

    /// Whether a password stands in the URL.
    package var hasPassword: Bool { password != nil || option("password") != nil }

    /// An option's value.
    package func option(_ name: String) -> String? { options.last { $0.name == name }?.value }

    /// The password: that of the URL, else the first line of the password file; nil: neither is given. The file is
    /// read again for each connection, so that a password can be changed.
    package func readPassword() throws(DatabaseError) -> String? {
        if let password { return password }
        guard let passwordFile else { return nil }
        guard let bytes = try? OpenFile(passwordFile, O_RDONLY).read(at: 0, count: 4096) else {
            throw .lost("cannot read the password file \(passwordFile)")
        }
        return String(decoding: bytes.prefix { $0 != 10 && $0 != 13 && $0 != 0 }, as: UTF8.self)
    }
}
