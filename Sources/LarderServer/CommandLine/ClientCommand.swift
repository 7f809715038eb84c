/// A command that the program sends to a server, such as `larder get`.
package enum ClientCommand: Sendable, Equatable {
    /// `stats` with these words.
    case stats([String])
    /// Prints a value.
    case get(key: [UInt8])
    /// Stores a value; nil: the value is standard input.
    case set(key: [UInt8], value: [UInt8]?)
    /// Deletes an item.
    case delete(key: [UInt8])
    /// Lists keys.
    case keys(KeyListing)
    /// Prints rates.
    case top(once: Bool)

    /// The word that begins the command line.
    package var name: String {
        switch self {
        case .stats: "stats"
        case .get: "get"
        case .set: "set"
        case .delete: "delete"
        case .keys: "keys"
        case .top: "top"
        }
    }
}

/// The keys that `larder keys` prints.
package struct KeyListing: Sendable, Equatable {
    /// How each key begins.
    package var prefix: [UInt8] = []
    /// How many are printed; nil: all.
    package var limit: Int?
    /// Where the list begins, and that the next cursor is printed; nil: neither.
    package var cursor: UInt64?
    /// Whether a NUL ends each key, and the key's bytes are as they are.
    package var endsInNull = false
    /// How long a server may be busy with other lists.
    package var busyMilliseconds = 3000
}

/// A command, and the server that it is for.
package struct ClientSettings: Sendable, Equatable {
    package var server: PingSettings
    package var command: ClientCommand
}

/// The options and words of a client command.
struct ClientCommandParser {
    static let names = ["stats", "get", "set", "delete", "keys", "top"]

    private static let limit = Option(long: "limit", .required("N"), .load, "", effect: { _, _ in })
    private static let cursor = Option(long: "cursor", .required("N"), .load, "", effect: { _, _ in })
    private static let once = Option(long: "once", .none, .load, "", effect: { _, _ in })
    private static let null = Option("0", nil, .none, .load, "", effect: { _, _ in })

    private let name: String
    private var server = PingSettings()
    private var words: [String] = []
    private var listing = KeyListing()
    private var isOnce = false

    /// Whether an option names the server's place.
    private var namesPlace = false

    /// - Parameter environment: the settings in the environment; nil: they have a mistake. They count if the options
    ///   name no place.
    static func parse(
        _ name: String, _ arguments: [String], environment: Settings? = nil
    ) throws(Ending) -> ClientSettings {
        var parser = ClientCommandParser(name: name)
        try parser.read(arguments)
        return ClientSettings(
            server: parser.namesPlace ? parser.server : parser.server.at(environment), command: try parser.command())
    }

    private init(name: String) { self.name = name }

    private mutating func read(_ arguments: [String]) throws(Ending) {
        var options = Option.all.filter { "lpshZ".contains($0.letter) } + [PingSettings.timeout]
        if name == "keys" { options += [Self.limit, Self.cursor, Self.null] }
        if name == "top" { options.append(Self.once) }
        for event in getOptLong(arguments, options: options) {
            switch event {
            case .option("h", _): throw .printed(Subcommand.all.first { $0.name == name }?.help ?? "")
            case .option(Self.limit.letter, let text):
                listing.limit = try wholeNumber(text ?? "", "--limit", in: 0...Int(Int32.max), "a number of keys")
            case .option(Self.cursor.letter, let text):
                guard let number = UInt64(text ?? "") else { throw .badValue("--cursor takes a number.") }
                listing.cursor = number
            case .option(Self.once.letter, _): isOnce = true
            case .option(Self.null.letter, _): listing.endsInNull = true
            case .option(let letter, let text):
                if "lps".contains(letter) { namesPlace = true }
                try server.apply(letter, text ?? "")
            case .wrong(let message): throw .badValue("larder: \(message)\nIllegal argument \"?\"")
            case .word(let word): words.append(word)
            }
        }
    }

    private func command() throws(Ending) -> ClientCommand {
        switch name {
        case "stats":
            guard words.allSatisfy({ $0.utf8.allSatisfy { $0 >= UInt8(ascii: " ") && $0 != 0x7f } }) else {
                throw .usage("larder stats takes words without control characters.")
            }
            return .stats(words)
        case "get":
            try takeWords(1...1, "one key")
            return .get(key: try key(words[0]))
        case "delete":
            try takeWords(1...1, "one key")
            return .delete(key: try key(words[0]))
        case "set":
            try takeWords(1...2, "a key, and a value or -")
            let value = try words.count == 2 && words[1] != "-" ? bytes(words[1], "value") : nil
            return .set(key: try key(words[0]), value: value)
        case "keys":
            try takeWords(0...1, "one prefix")
            var listing = self.listing
            listing.prefix = try bytes(words.first ?? "", "prefix")
            listing.busyMilliseconds = server.timeoutMilliseconds
            return .keys(listing)
        default:
            try takeWords(0...0, "options only")
            return .top(once: isOnce)
        }
    }

    private func takeWords(_ count: ClosedRange<Int>, _ description: String) throws(Ending) {
        guard !count.contains(words.count) else { return }
        throw .usage("larder \(name) takes \(description); larder \(name) -h has the options.")
    }

    /// The longest key, and the longest that a meta command can name in base64.
    private static let keyBytesMax = 250
    private static let encodedKeyBytesMax = 186

    /// A longer key is not sent: a server that refuses it could take the value behind it for commands.
    private func key(_ text: String) throws(Ending) -> [UInt8] {
        let bytes = try self.bytes(text, "key")
        let isPlain = bytes.allSatisfy { $0 > UInt8(ascii: " ") && $0 != 0x7f }
        let limit = isPlain ? Self.keyBytesMax : Self.encodedKeyBytesMax
        guard (1...limit).contains(bytes.count) else {
            let kind = isPlain ? "A key" : "A key with blanks or control characters"
            throw .usage("\(kind) has 1 to \(limit) bytes, not \(bytes.count).")
        }
        return bytes
    }

    /// Arguments that are not UTF-8 were repaired when they were read, so they would mean another key.
    private func bytes(_ text: String, _ meaning: String) throws(Ending) -> [UInt8] {
        guard !text.unicodeScalars.contains("\u{FFFD}") else { throw .usage("The \(meaning) is not UTF-8.") }
        return Array(text.utf8)
    }
}
