/// A word that may stand in front of the options, such as `ping`. The manual page and the completions list them.
struct Subcommand: Sendable {
    /// An option of its own.
    struct Flag: Sendable, Equatable {
        /// With its dashes: `-t`, `--json`.
        var name: String
        /// The name of its argument; nil: it takes none.
        var argument: String?
        /// Its help, in one line.
        var help: String
    }

    let name: String
    /// A few words for the lists of subcommands.
    let summary: String
    /// The text of `-h`; empty: it has none.
    let help: String

    /// All of them, in the order of `-h`.
    static let all = [
        Subcommand(name: "ping", summary: "check that a server answers", help: Help.ping),
        Subcommand(name: "stats", summary: "print a server's statistics", help: Help.stats),
        Subcommand(name: "get", summary: "print a value", help: Help.get),
        Subcommand(name: "set", summary: "store a value", help: Help.set),
        Subcommand(name: "delete", summary: "delete an item", help: Help.delete),
        Subcommand(name: "keys", summary: "list the keys of a server", help: Help.keys),
        Subcommand(name: "top", summary: "print a server's rates, once a second", help: Help.top),
        Subcommand(name: "inspect", summary: "check a store's file", help: Help.inspect),
        Subcommand(name: "log", summary: "make and read a log of replicated caches", help: Help.log),
        Subcommand(name: "help", summary: "print the options and exit", help: ""),
        Subcommand(name: "version", summary: "print the version and exit", help: ""),
    ]

    /// The paragraphs of its text, without the options. The first one is the usage.
    var paragraphs: [String] {
        var paragraphs: [[Substring]] = [[]]
        for line in help.split(separator: "\n", omittingEmptySubsequences: false) where !line.hasPrefix("  ") {
            if line.isEmpty { paragraphs.append([]) } else { paragraphs[paragraphs.count - 1].append(line) }
        }
        return paragraphs.filter { !$0.isEmpty }.map { $0.joined(separator: " ") }
    }

    /// Its options, as its text lists them: two blanks, the option, its argument, blanks, its help.
    var flags: [Flag] {
        help.split(separator: "\n").compactMap { line in
            guard line.hasPrefix("  -") else { return nil }
            let usage = line.dropFirst(2)
            guard let gap = usage.firstRange(of: "  ") else { return nil }
            let words = usage[..<gap.lowerBound].split(separator: " ")
            return Flag(
                name: String(words[0]), argument: words.count > 1 ? String(words[1]) : nil,
                help: String(usage[gap.upperBound...].drop { $0 == " " }))
        }
    }

    /// Its words that are no options, as its text says how it is used: `KEY`, and `[VALUE]` if it may be left out.
    var operands: [String] {
        let words = (paragraphs.first ?? "").split(separator: " ").dropFirst(3)
        // The name of an option's argument ends in a bracket, and does not begin with one.
        return words.filter { !$0.hasPrefix("[-") && $0 != "[options]" && $0.hasPrefix("[") == $0.hasSuffix("]") }
            .map(String.init)
    }

    /// Whether a plain word behind it is the path of a file.
    var takesFile: Bool { operands == ["FILE"] }
}
