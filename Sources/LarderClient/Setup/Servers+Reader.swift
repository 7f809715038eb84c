#if Configuration
    public import Configuration

    extension ServerAddress {
        /// Reads where a server listens: `host` and, if it is not 11211, `port`; or `unixSocket`, a path.
        ///
        /// - Throws: `CacheError` with the code `badConfiguration`, which names the key, what it says and what it takes.
        public init(reader: ConfigReader) throws(CacheError) {
            let settings = SettingReader(reader: reader)
            let host = try settings.text("host")
            let port = try settings.number("port", in: 1...65535)
            let path = try settings.text("unixSocket")
            switch (host, path) {
            case (let host?, nil):
                guard !host.isEmpty else { throw settings.wrong("host", "empty", "a host's name or address") }
                self = .host(host, port: port ?? 11211)
            case (nil, let path?):
                guard port == nil else { throw settings.wrong("port", "given", "nothing beside unixSocket") }
                guard !path.isEmpty else { throw settings.wrong("unixSocket", "empty", "a path") }
                self = .unixSocket(path: path)
            case (nil, nil):
                throw settings.wrong(
                    "host", "missing", "a host's name or address; or there is unixSocket, a path")
            default: throw settings.wrong("unixSocket", "given", "nothing beside host")
            }
        }
    }

    extension ServerGroup {
        /// Reads which servers there are, and how they are asked (`ConnectionConfiguration(reader:)`).
        ///
        /// | key | takes |
        /// | --- | --- |
        /// | `servers` | `host`, `host:port`, `[address]:port` or the path of a Unix socket, each with `=weight` if that is not 1; a list, or between commas |
        /// | `distribution` | `ketama` (pylibmc's), `ketamaWeighted`, `rendezvous` (pymemcache's) or `jump`; without it `ketama` |
        /// | `connectionsPerServer` | a whole number from 1 to 1000; without it 1 |
        ///
        /// - Parameter configure: changes what was read, or adds what is not: logger, metrics, tracer.
        /// - Throws: `CacheError` with the code `badConfiguration`, which names the key, what it says and what it takes.
        public convenience init(
            reader: ConfigReader, configure: (inout ConnectionConfiguration) -> Void = { _ in }
        ) throws(CacheError) {
            let settings = SettingReader(reader: reader)
            guard let texts = try settings.texts("servers"), !texts.isEmpty else {
                throw settings.wrong("servers", "missing", GroupMember.allowedText)
            }
            var members: [GroupMember] = []
            for text in texts {
                guard let member = GroupMember(text: text) else {
                    throw settings.wrong("servers", text.debugDescription, GroupMember.allowedText)
                }
                members.append(member)
            }
            let distribution = try settings.choice(
                "distribution",
                [
                    ("ketama", Distribution.ketama()), ("ketamaWeighted", .ketamaWeighted),
                    ("rendezvous", .rendezvous), ("jump", .jump),
                ])
            let connections = try settings.number("connectionsPerServer", in: 1...1000)
            var configuration = try ConnectionConfiguration(reader: reader)
            configure(&configuration)
            self.init(
                members, distribution: distribution ?? .ketama(), configuration: configuration,
                connectionsPerServer: connections ?? 1)
        }
    }

    extension GroupMember {
        fileprivate static let allowedText =
            "host, host:port, [address]:port or a path, each with =weight if that is not 1"

        fileprivate init?(text: String) {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let place = parts.first, !place.isEmpty else { return nil }
            var weight: UInt32 = 1
            if parts.count == 2 {
                guard let given = UInt32(parts[1]) else { return nil }
                weight = given
            }
            if place.hasPrefix("/") {
                self.init(.unixSocket(path: String(place)), weight: weight)
                return
            }
            guard let (host, port) = Self.hostAndPort(place) else { return nil }
            self.init(.host(host, port: port), weight: weight)
        }

        private static func hostAndPort(_ place: Substring) -> (String, Int)? {
            var host = place
            var port: Substring?
            if place.first == "[" {
                guard let end = place.firstIndex(of: "]") else { return nil }
                host = place[place.index(after: place.startIndex)..<end]
                let rest = place[place.index(after: end)...]
                guard rest.isEmpty || rest.first == ":" else { return nil }
                if !rest.isEmpty { port = rest.dropFirst() }
            } else if let colon = place.firstIndex(of: ":") {
                host = place[..<colon]
                port = place[place.index(after: colon)...]
            }
            guard !host.isEmpty else { return nil }
            guard let port else { return (String(host), 11211) }
            guard let number = Int(port), (1...65535).contains(number) else { return nil }
            return (String(host), number)
        }
    }
#endif
