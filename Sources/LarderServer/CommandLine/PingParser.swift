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
}

/// - Parameter server: the settings in the environment and in the file that it names; nil: they have a mistake. They
///   count if the options name no place.
func parsePing(_ arguments: [String], server: Settings? = nil) throws(Ending) -> PingSettings {
    var settings = PingSettings()
    var namesPlace = false
    let options = Option.all.filter { "lpsvhZB".contains($0.letter) } + [PingSettings.timeout]
    for event in getOptLong(arguments, options: options) {
        switch event {
        case .option(let letter, let argument):
            if "lps".contains(letter) { namesPlace = true }
            try settings.apply(letter, argument ?? "")
        case .wrong(let message):
            throw .badValue("larder: \(message)\nIllegal argument \"?\"")
        case .word(let word):
            throw .usage("larder ping takes options only, not \"\(word)\"; larder ping -h lists them.")
        }
    }
    guard !namesPlace, let server else { return settings }
    var found = PingSettings(server)
    found.timeoutMilliseconds = settings.timeoutMilliseconds
    found.isVerbose = settings.isVerbose
    found.usesTLS = found.usesTLS || settings.usesTLS
    found.isBinary = found.isBinary || settings.isBinary
    return found
}

extension PingSettings {
    /// The other letters and long names are the server's.
    static let timeout = Option("t", "timeout", .required("SECONDS"), .load, "", effect: { _, _ in })

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
