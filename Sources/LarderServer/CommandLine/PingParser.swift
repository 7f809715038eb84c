/// What `larder ping` was told.
package struct PingSettings: Sendable, Equatable {
    /// nil: this machine, by whichever of its loopback addresses answers.
    package var host: String?
    /// The TCP port.
    package var port = 11211
    /// Instead of host and port.
    package var unixSocketPath: String?
    /// For the whole question, from connecting to the answer.
    package var timeoutMilliseconds = 3000
    /// Whether to ask over TLS.
    package var usesTLS = false
    /// Whether to ask in the binary protocol, which is all that a server under `-S` or `-B binary` speaks.
    package var isBinary = false
    /// Whether to ask the admin listener for `/healthz`, over HTTP. Host and port are that listener's.
    package var asksHealth = false
    /// Whether a good answer is printed.
    package var isVerbose = false

    /// This machine, the default port.
    package init() {}
}

extension PingSettings {
    /// A server with these settings, at its first address.
    init(_ server: Settings) {
        isBinary = server.bindingProtocol == .binary
        unixSocketPath = server.unixSocketPath
        if server.tcpPort > 0 { port = server.tcpPort }
        let address = server.listenAddresses.first
        if let address, !["*", "0.0.0.0", "::"].contains(address.host) { host = address.host }
        if let own = address?.port, own > 0 { port = own }
        usesTLS = server.tlsEnabled && unixSocketPath == nil && address?.encryption != .off
    }

    /// These settings for the place where a server with the settings `server` answers.
    ///
    /// - Parameter server: nil: nothing changes.
    func at(_ server: Settings?) -> PingSettings {
        guard let server else { return self }
        var found = PingSettings(server)
        found.timeoutMilliseconds = timeoutMilliseconds
        found.isVerbose = isVerbose
        found.usesTLS = found.usesTLS || usesTLS
        found.isBinary = found.isBinary || isBinary
        return found
    }
}

/// - Parameter server: the settings in the environment and in the file that it names; nil: they have a mistake. They
///   count if the options name no place.
func parsePing(_ arguments: [String], server: Settings? = nil) throws(Ending) -> PingSettings {
    var settings = PingSettings()
    var namesPlace = false
    let options = Option.all.filter { "lpsvhZB".contains($0.letter) } + [PingSettings.timeout, PingSettings.health]
    for event in getOptLong(arguments, options: options) {
        switch event {
        case .option(PingSettings.health.letter, _): settings.asksHealth = true
        case .option(let letter, let argument):
            if "lps".contains(letter) { namesPlace = true }
            try settings.apply(letter, argument ?? "")
        case .wrong(let message):
            throw .badValue("larder: \(message)\nIllegal argument \"?\"")
        case .word(let word):
            throw .usage("larder ping takes options only, not \"\(word)\"; larder ping -h lists them.")
        }
    }
    guard settings.asksHealth else { return namesPlace ? settings : settings.at(server) }
    guard settings.unixSocketPath == nil, !settings.isBinary, !settings.usesTLS else {
        throw .usage("larder ping --health takes no -s, -B and -Z: the admin listener speaks HTTP over TCP.")
    }
    if namesPlace { return settings }
    guard let admin = server?.admin, admin.port > 0 else {
        throw .usage("larder ping --health needs -p PORT: the environment describes no admin listener.")
    }
    settings.host = admin.host.flatMap { ["*", "0.0.0.0", "::"].contains($0) ? nil : $0 }
    settings.port = admin.port
    return settings
}

extension PingSettings {
    /// The other letters and long names are the server's.
    static let timeout = Option("t", "timeout", .required("SECONDS"), .load, "", effect: { _, _ in })

    /// Its long name only.
    static let health = Option(long: "health", .none, .load, "", effect: { _, _ in })

    /// Takes one option with its argument.
    mutating func apply(_ letter: Character, _ text: String) throws(Ending) {
        switch letter {
        case "l":
            guard !text.isEmpty else { throw .usage("-l takes the address of the server.") }
            host = text
        case "p": port = try wholeNumber(text, "-p", in: 1...65535, "a port number")
        case "s":
            guard !text.isEmpty else { throw .usage("-s takes the path of a socket file.") }
            unixSocketPath = text
        case "t":
            guard let seconds = Double(text), seconds > 0, seconds <= 3600 else {
                throw .usage("-t takes a number of seconds, up to 3600, not \"\(text)\".")
            }
            timeoutMilliseconds = max(1, Int(seconds * 1000))
        case "Z": usesTLS = true
        case "B": isBinary = try bindingProtocol(text) == .binary
        case "v": isVerbose = true
        case "h": throw .printed(Help.ping)
        default: break
        }
    }
}
