/// Why a command line was refused.
struct OptionError: Error, Equatable {
    let message: String
}

/// What a command line asks for.
enum CommandLineRequest {
    case run(Options)
    case help
}

/// Reads options as getopt_long does: `--name value`, `--name=value`, `-n value`, `-nvalue`.
struct OptionParser {
    private var words: ArraySlice<String>
    private var options = Options()
    private var wantsHelp = false

    static func parse(_ words: [String]) throws(OptionError) -> CommandLineRequest {
        var parser = OptionParser(words: words[...])
        while !parser.words.isEmpty && !parser.wantsHelp { try parser.readOption() }
        return parser.wantsHelp ? .help : .run(try parser.checked())
    }

    private init(words: ArraySlice<String>) { self.words = words }

    private static let longNames: [Character: String] = [
        "s": "server", "p": "port", "S": "unix-socket", "P": "protocol", "t": "threads", "c": "clients",
        "n": "requests", "d": "data-size", "R": "random-data", "o": "json-out-file", "h": "help",
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
        if try applySwitch(name) {
            guard attached == nil else { throw OptionError(message: "--\(name) takes no value") }
            return
        }
        guard Self.valued.contains(name) else { throw OptionError(message: "there is no option --\(name)") }
        guard let value = attached ?? words.popFirst() else {
            throw OptionError(message: "--\(name) needs a value")
        }
        let argument = OptionValue(option: name, text: value)
        if try applyTarget(argument) { return }
        try applyTraffic(argument)
    }

    /// Options without a value; false when `name` is none of them.
    private mutating func applySwitch(_ name: String) throws(OptionError) -> Bool {
        switch name {
        case "help": wantsHelp = true
        case "preload": options.preload = true
        case "progress": options.progress = true
        case "hide-histogram": options.hideHistogram = true
        case "distinct-client-seed": options.distinctClientSeed = true
        case "no-distinct-client-seed": options.distinctClientSeed = false
        case "verify": options.verify = true
        case "no-verify": options.verify = false
        // memtier's choice between one byte over and over and random ones; ours are always the latter.
        case "random-data": break
        default: return false
        }
        return true
    }

    private static let valued: Set<String> = [
        "server", "port", "unix-socket", "protocol", "threads", "clients", "requests", "test-time",
        "json-out-file", "seed", "ratio", "pipeline", "multi-key-get", "data-size", "data-size-range",
        "expiry-range", "key-prefix", "key-minimum", "key-maximum", "key-pattern", "key-zipf-exp",
    ]

    /// Where to, how many, how long; false when the option is about what is sent.
    private mutating func applyTarget(_ value: OptionValue) throws(OptionError) -> Bool {
        switch value.option {
        case "server": options.host = value.text
        case "port": options.port = String(try value.integer(in: 1...65535))
        case "unix-socket": options.unixSocket = value.text
        case "protocol":
            guard ["memcache_text", "memcached_text", "text"].contains(value.text) else {
                throw OptionError(message: "--protocol: only memcache_text is spoken")
            }
        case "threads": options.threads = try value.integer(in: 1...1024)
        case "clients": options.connections = try value.integer(in: 1...100_000)
        case "requests":
            options.requests =
                value.text == "allkeys" ? .allKeys : .number(try value.integer(in: 1...1_000_000_000_000))
        case "test-time": options.seconds = try value.decimal(in: 0.01...10_000_000)
        case "json-out-file": options.jsonFile = value.text
        case "seed": options.seed = UInt64(try value.integer(in: 0...Int.max))
        default: return false
        }
        return true
    }

    private mutating func applyTraffic(_ value: OptionValue) throws(OptionError) {
        switch value.option {
        case "ratio":
            (options.setRatio, options.getRatio) = try value.pair(separator: ":", in: 0...1_000_000)
        case "pipeline": options.pipeline = try value.integer(in: 1...65536)
        // memtier's 0 and 1 are both plain gets.
        case "multi-key-get": options.keysPerGet = max(1, try value.integer(in: 0...65536))
        case "data-size":
            let size = try value.integer(in: 1...OptionValue.sizeMax)
            options.dataSize = size...size
        case "data-size-range": options.dataSize = try value.range(in: 1...OptionValue.sizeMax)
        case "expiry-range": options.expiry = try value.range(in: 0...Int(Int32.max))
        case "key-prefix": options.keyPrefix = value.text
        // The other bound may come later: `checked` sees to their order.
        case "key-minimum": keyMinimum = UInt64(try value.integer(in: 0...OptionValue.keyMax))
        case "key-maximum": keyMaximum = UInt64(try value.integer(in: 0...OptionValue.keyMax))
        case "key-pattern": (options.setPattern, options.getPattern) = try value.patterns()
        default: options.zipfExponent = try value.decimal(in: 0.01...5)
        }
    }

    private var keyMinimum = Options().keys.lowerBound
    private var keyMaximum = Options().keys.upperBound

    /// The options, once those that depend on each other agree.
    private func checked() throws(OptionError) -> Options {
        var options = options
        guard keyMinimum <= keyMaximum else {
            throw OptionError(message: "--key-minimum is above --key-maximum")
        }
        options.keys = keyMinimum...keyMaximum
        guard options.setRatio + options.getRatio > 0 else {
            throw OptionError(message: "--ratio 0:0 sends nothing")
        }
        guard options.keyPrefix.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw OptionError(message: "--key-prefix must not hold spaces or control characters")
        }
        guard options.keyPrefix.utf8.count + String(keyMaximum).utf8.count <= 250 else {
            throw OptionError(message: "--key-prefix: a key has at most 250 bytes, the number included")
        }
        guard options.pipeline * (options.dataSize.upperBound + 300) <= 1 << 32 else {
            throw OptionError(message: "--pipeline times --data-size is more than 4 GB")
        }
        if options.requests != nil && options.seconds != nil {
            throw OptionError(message: "--requests and --test-time exclude each other")
        }
        if options.requests == nil && options.seconds == nil { options.requests = .number(10_000) }
        return options
    }
}
