/// A line of a cookie file: a cookie, or a comment or what else somebody put there, which is kept as it is.
///
/// A cookie's line has seven fields with tabs between: host, whether its subdomains are meant, path, whether it is
/// for secure connections only, when it ends in seconds since 1970 (0: with the session, so never here), name and
/// value. Before the host may stand `#HttpOnly_`.
struct CookieLine: Sendable, Hashable {
    /// The line, without its end.
    var bytes: [UInt8]
    /// `host|path|name`; nil for what is no cookie.
    var tag: String?
    /// Milliseconds since 1970; nil: never.
    var endMilliseconds: Int64?

    static let header = Array("# Netscape HTTP Cookie File".utf8)
    private static let httpOnly = Array("#HttpOnly_".utf8)

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        let isHTTPOnly = bytes.starts(with: Self.httpOnly)
        guard isHTTPOnly || bytes.first != UInt8(ascii: "#") else { return }
        let fields = bytes.dropFirst(isHTTPOnly ? Self.httpOnly.count : 0)
            .split(separator: UInt8(ascii: "\t"), maxSplits: 6, omittingEmptySubsequences: false)
        guard fields.count == 7, !fields[0].isEmpty, !fields[2].isEmpty, !fields[5].isEmpty,
            !bytes.contains(where: { $0 == 0x0A || $0 == 0x0D || $0 == 0 }),
            let seconds = Int64(String(decoding: fields[4], as: UTF8.self)), seconds >= 0
        else { return }
        tag = [fields[0], fields[2], fields[5]].map { String(decoding: $0, as: UTF8.self) }
            .joined(separator: "|")
        let (end, isNever) = seconds.multipliedReportingOverflow(by: 1000)
        endMilliseconds = seconds == 0 || isNever ? nil : end
    }

    /// The cookie as an item; nil for what is no cookie.
    var item: LevelItem? {
        tag.map { LevelItem(key: $0, payload: bytes, endMilliseconds: endMilliseconds) }
    }

    func hasEnded(at now: Int64) -> Bool { endMilliseconds.map { $0 <= now } ?? false }
}

/// Which cookies a lookup means.
///
/// `host|path|name` with a path without stars means the cookies that a request for the path would carry: `/a/b`
/// those for `/`, `/a` and `/a/b`, and not those for `/a/bc`. Host and name may have stars. All else is a wildcard
/// for the whole tag.
struct CookieQuery {
    private let pattern: KeyPattern
    private let parts: (host: KeyPattern, path: String, name: KeyPattern)?

    init(_ pattern: KeyPattern) {
        self.pattern = pattern
        parts = Self.parts(pattern.text).flatMap { host, path, name in
            path.utf8.contains(UInt8(ascii: "*")) ? nil : (KeyPattern(host), path, KeyPattern(name))
        }
    }

    func matches(_ tag: String) -> Bool {
        guard let parts, let (host, path, name) = Self.parts(tag) else { return pattern.matches(tag) }
        return parts.host.matches(host) && parts.name.matches(name) && Self.path(parts.path, isWithin: path)
    }

    /// A name may have `|` in it.
    private static func parts(_ tag: String) -> (String, String, String)? {
        let parts = tag.split(separator: "|", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        return parts.count == 3 ? (parts[0], parts[1], parts[2]) : nil
    }

    private static func path(_ requested: String, isWithin path: String) -> Bool {
        guard requested.utf8.starts(with: path.utf8) else { return false }
        let slash = UInt8(ascii: "/")
        return requested.utf8.count == path.utf8.count || path.utf8.last == slash
            || requested.utf8.dropFirst(path.utf8.count).first == slash
    }
}
