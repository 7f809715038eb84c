extension Option {
    static let listening: [Option] = [
        Option(
            "p", "port", .required("PORT"), .listening,
            "TCP port; 0 none, -1 any free one (default 11211)",
            effect: { draft, text throws(Ending) in
                draft.settings.tcpPort = try port(text, of: "-p")
                draft.hasTCPPort = true
            }),
        Option(
            "U", "udp-port", .required("PORT"), .listening,
            "UDP port; -1 any free one (default 0: none);\nwithout -p it is the TCP port too",
            effect: { draft, text throws(Ending) in draft.settings.udpPort = try port(text, of: "-U") }),
        Option(
            long: "udp-unsafe", .none, .listening,
            "let UDP replies be larger than requests; attackers\ncan then flood forged addresses with them",
            effect: { draft, _ in draft.settings.udpIsUnsafe = true }),
        Option(
            "l", "listen", .required("ADDR,..."), .listening,
            "addresses, HOST or HOST:PORT; * is all of them\n(default: this machine only)",
            effect: { draft, text throws(Ending) in try addListenAddresses(text, to: &draft.settings) }),
        Option(
            long: "uwsgi", .required("ADDR"), .listening,
            "serve uWSGI's cache protocol at PORT, HOST:PORT or a\nsocket file (docs/uwsgi.md); may be repeated",
            effect: { draft, text throws(Ending) in
                let place = try place(text, of: "--uwsgi")
                if !draft.settings.uwsgiPlaces.contains(place) { draft.settings.uwsgiPlaces.append(place) }
            }),
        Option(
            long: "stats", .required("ADDR"), .listening,
            "uWSGI's statistics, as JSON, at PORT, HOST:PORT or a\nsocket file; may be repeated",
            effect: { draft, text throws(Ending) in
                let place = try place(text, of: "--stats")
                if !draft.settings.statisticsPlaces.contains(place) { draft.settings.statisticsPlaces.append(place) }
            }),
        Option(
            long: "uwsgi-open", .none, .listening,
            "let --uwsgi, --stats and udp= serve other machines,\nalso beside -Y, -S and -Z; for trusted networks only",
            effect: { draft, _ in draft.settings.uwsgiIsOpen = true }),
        Option(
            "s", "unix-socket", .required("FILE"), .listening,
            "listen on this socket file, and not on TCP",
            effect: { draft, text throws(Ending) in
                guard !text.isEmpty else { throw .usage("-s takes the path of a socket file.") }
                draft.settings.unixSocketPath = text
            }),
        Option(
            "a", "unix-mask", .required("MODE"), .listening,
            "permissions of the socket file, octal (default 700)",
            effect: { draft, text throws(Ending) in
                let mode = LeadingInteger(text, radix: 8)
                guard mode.isWhole, (0...0o777).contains(mode.value) else {
                    throw .usage("-a takes the permissions of a file in octal, 0 to 777, not \"\(text)\".")
                }
                draft.settings.unixSocketMask = UInt32(mode.value)
            }),
        Option(
            "b", "listen-backlog", .required("NUM"), .listening,
            "connections waiting to be accepted (default 1024)",
            effect: { draft, text throws(Ending) in
                draft.settings.listenBacklog = try wholeNumber(
                    text, "-b", in: 0...Int(Int32.max), "a number of waiting connections")
            }),
        Option(
            long: "admin", .required("ADDR"), .listening,
            "metrics, health and a console over HTTP, on PORT (this\nmachine only) or HOST:PORT (default: none)",
            effect: { draft, text throws(Ending) in draft.settings.admin = try adminAddress(text) }),
    ]
}

/// A place of `--uwsgi` or `--stats`.
private func place(_ text: String, of option: String) throws(Ending) -> CacheSettings.Place {
    guard let place = CacheKey.place(text) else {
        throw .usage(
            "\(option) takes a port (3031), an address (127.0.0.1:3031) or a socket file (/run/a.sock), not "
                + "\"\(text)\".")
    }
    return place
}

private func port(_ text: String, of option: String) throws(Ending) -> Int {
    let number = LeadingInteger(text)
    guard number.isWhole else {
        throw .usage("\(option) takes a port number, 0 for none or -1 for any free one, not \"\(text)\".")
    }
    guard (-1...65535).contains(number.value) else {
        throw .usage("ERROR: Invalid port number \(number.value).")
    }
    return number.value
}

/// `-l`: addresses split by `,` or `;`, each given once however often it is named.
private func addListenAddresses(_ text: String, to settings: inout Settings) throws(Ending) {
    let parts = text.split { $0 == "," || $0 == ";" }
    guard !parts.isEmpty else {
        throw .usage("-l takes an address, such as 127.0.0.1, [::1]:11211 or * for all, not \"\(text)\".")
    }
    for part in parts {
        var rest = part
        let encryption = takeEncryption(&rest)
        var address = try listenAddress(rest)
        address.encryption = encryption
        if !settings.listenAddresses.contains(address) { settings.listenAddresses.append(address) }
    }
    settings.interfaces = settings.interfaces.map { "\($0),\(text)" } ?? text
}

private func listenAddress(_ text: Substring) throws(Ending) -> Settings.ListenAddress {
    var rest = text
    let bindingProtocol = try takeProtocol(&rest)
    try dropTag(&rest)

    var host = rest
    var port: Substring?
    if rest.first == "[" {
        guard let end = rest.firstIndex(of: "]") else {
            throw .osError("Invalid IPV6 address: \"\(rest)\"")
        }
        host = rest[rest.index(after: rest.startIndex)..<end]
        let behind = rest[rest.index(after: end)...]
        guard behind.isEmpty || behind.first == ":" else {
            throw .osError("Invalid IPV6 address: \"\(rest)\"")
        }
        port = behind.isEmpty ? nil : behind.dropFirst()
    } else if let colon = rest.firstIndex(of: ":"), colon == rest.lastIndex(of: ":") {
        // More colons than one are an IPv6 address without brackets, and that has no port.
        host = rest[..<colon]
        port = rest[rest.index(after: colon)...]
    }
    guard !host.isEmpty else { throw .osError("-l \"\(text)\" names no address.") }
    guard let port else { return Settings.ListenAddress(host: String(host), bindingProtocol: bindingProtocol) }
    let number = LeadingInteger(port)
    guard number.isWhole, (-1...65535).contains(number.value) else {
        throw .osError("Invalid port number: \"\(port)\"")
    }
    return Settings.ListenAddress(host: String(host), port: number.value, bindingProtocol: bindingProtocol)
}

/// `--admin`: a port, or a host and a port.
private func adminAddress(_ text: String) throws(Ending) -> Settings.AdminAddress {
    let mistake = Ending.usage(
        "--admin takes a port or HOST:PORT, such as 9150, 10.0.0.5:9150, [::1]:9150 or *:9150, not \"\(text)\".")
    var host: Substring?
    var port = text[...]
    if let colon = text.lastIndex(of: ":") {
        host = text[..<colon]
        port = text[text.index(after: colon)...]
    }
    if let given = host {
        if given.first == "[", given.last == "]" {
            host = given.dropFirst().dropLast()
        } else if given.contains(":") {
            throw mistake
        }
        guard host?.isEmpty == false else { throw mistake }
    }
    let number = LeadingInteger(port)
    guard number.isWhole, number.value == -1 || (1...65535).contains(number.value) else { throw mistake }
    return Settings.AdminAddress(host: host.map(String.init), port: number.value, text: text)
}

/// `-B`
func bindingProtocol(_ name: String) throws(Ending) -> Settings.BindingProtocol {
    switch name {
    case "auto": return .negotiating
    case "ascii": return .ascii
    case "binary": return .binary
    default:
        throw .usage("Invalid value for binding protocol: \(name)\n -- should be one of auto, binary, or ascii")
    }
}

/// `notls:` and the like: what a listener does differently under `-Z`.
private func takeEncryption(_ rest: inout Substring) -> Settings.Encryption {
    for encryption in [Settings.Encryption.off, .withoutClientCertificate, .withClientCertificate] {
        let prefix = encryption.prefix + ":"
        guard rest.hasPrefix(prefix) else { continue }
        rest = rest.dropFirst(prefix.count)
        return encryption
    }
    return .asConfigured
}

extension Settings.Encryption {
    /// memcached's word for it before an address.
    var prefix: String {
        switch self {
        case .asConfigured: ""
        case .off: "notls"
        case .withoutClientCertificate: "btls"
        case .withClientCertificate: "mtls"
        }
    }
}

/// `proto[ascii]:` and the like; nil without one.
private func takeProtocol(_ rest: inout Substring) throws(Ending) -> Settings.BindingProtocol? {
    guard rest.hasPrefix("proto[") else { return nil }
    guard let end = rest.firstRange(of: "]:") else { throw .osError("Invalid protocol spec: \"\(rest)\"") }
    let name = rest[..<end.lowerBound].dropFirst("proto[".count)
    let bindingProtocol: Settings.BindingProtocol
    switch name {
    case "ascii": bindingProtocol = .ascii
    case "binary": bindingProtocol = .binary
    case "negotiating": bindingProtocol = .negotiating
    case "proxy": throw .osError("Server not built with proxy: \"\(rest)\"")
    default: throw .osError("Invalid protocol spec: \"\(rest)\"")
    }
    rest = rest[end.upperBound...]
    return bindingProtocol
}

/// `tag[NAME]:` and `tag_NAME_:` name a listener for memcached's proxy, which is not there.
private func dropTag(_ rest: inout Substring) throws(Ending) {
    let close: String
    if rest.hasPrefix("tag[") {
        close = "]:"
    } else if rest.hasPrefix("tag_") {
        close = "_:"
    } else {
        return
    }
    guard let end = rest.firstRange(of: close) else {
        throw .osError("Invalid tag in socket config: \"\(rest)\"")
    }
    let name = rest[..<end.lowerBound].dropFirst("tag[".count)
    guard (1...8).contains(name.utf8.count) else {
        throw .osError("Listener tags must be between 1 and 8 characters: \"\(name)\"")
    }
    rest = rest[end.upperBound...]
}
