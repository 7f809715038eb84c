/// Why a command line was refused.
struct OptionError: Error, Equatable {
    let message: String
}

/// What a command line asks for.
enum CommandLineRequest {
    case run(Options)
    case help
    case version
}

/// Reads options as getopt_long does: `--name value`, `--name=value`, `-n value`, `-nvalue`.
struct OptionParser {
    private var words: ArraySlice<String>
    var options = Options()
    /// What is not an option of a run; ends the reading.
    private var other: CommandLineRequest?

    // Looked at together once all are read: the order of options means nothing.
    var keyMinimum = Options().keys.lowerBound
    var keyMaximum = Options().keys.upperBound
    var tls = Options.TLS()
    var wantsTLS = false
    var sizeOptions: Set<String> = []

    static func parse(_ words: [String]) throws(OptionError) -> CommandLineRequest {
        var parser = OptionParser(words: words[...])
        while !parser.words.isEmpty && parser.other == nil { try parser.readOption() }
        if let other = parser.other { return other }
        return .run(try parser.checked())
    }

    private init(words: ArraySlice<String>) { self.words = words }

    private static let longNames: [Character: String] = [
        "s": "server", "h": "help", "p": "port", "S": "unix-socket", "P": "protocol", "t": "threads",
        "c": "clients", "n": "requests", "d": "data-size", "R": "random-data", "o": "out-file",
        "x": "run-count", "D": "debug", "v": "version", "a": "authenticate", "4": "ipv4", "6": "ipv6",
    ]

    private mutating func readOption() throws(OptionError) {
        let word = words.removeFirst()
        if word.hasPrefix("--") {
            let parts = word.dropFirst(2).split(
                separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            try apply(String(parts[0]), parts.count > 1 ? String(parts[1]) : nil)
        } else if word.hasPrefix("-"), let letter = word.dropFirst().first {
            guard let name = Self.longNames[letter] else {
                throw OptionError(message: "there is no option -\(letter)")
            }
            let rest = word.dropFirst(2)
            try apply(name, rest.isEmpty ? nil : String(rest))
        } else {
            throw OptionError(message: "'\(word)' is not an option")
        }
    }

    private mutating func apply(_ name: String, _ attached: String?) throws(OptionError) {
        if applySwitch(name) {
            guard attached == nil else { throw OptionError(message: "--\(name) takes no value") }
            return
        }
        guard Self.valued.contains(name) else { throw OptionError(message: "there is no option --\(name)") }
        guard let value = attached ?? words.popFirst() else {
            throw OptionError(message: "--\(name) needs a value")
        }
        let argument = OptionValue(option: name, text: value)
        if try applyTarget(argument) { return }
        if try applyKeys(argument) { return }
        if applyFile(argument) { return }
        try applyTraffic(argument)
    }

    /// Options without a value; false when `name` is none of them.
    private mutating func applySwitch(_ name: String) -> Bool {
        switch name {
        case "help": other = .help
        case "version": other = .version
        case "preload": options.preload = true
        case "progress": options.progress = true
        case "debug": options.debug = true
        case "hide-histogram": options.hideHistogram = true
        case "print-all-runs": options.printsAllRuns = true
        case "distinct-client-seed": options.distinctClientSeed = true
        case "no-distinct-client-seed": options.distinctClientSeed = false
        case "verify": options.verify = true
        case "no-verify": options.verify = false
        case "tls": wantsTLS = true
        case "tls-skip-verify": tls.verifies = false
        case "ipv4": options.addressFamily = 4
        case "ipv6": options.addressFamily = 6
        // memtier's choice between one byte over and over and random ones; ours are always the latter.
        case "random-data": break
        default: return false
        }
        return true
    }
}
