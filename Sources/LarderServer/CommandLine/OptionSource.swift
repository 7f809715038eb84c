/// Where an option was given.
enum OptionSource: Sendable, Equatable {
    case file(path: String, line: Int)
    /// The variable's name.
    case environment(String)
    case commandLine

    /// Its name in messages and in `--check-config`.
    var text: String {
        switch self {
        case .file(let path, let line): "\(path):\(line)"
        case .environment(let name): name
        case .commandLine: "command line"
        }
    }

    /// Adds the source to a message about a mistake. Mistakes on the command line keep memcached's text and exit code.
    func located(_ ending: Ending) -> Ending {
        guard self != .commandLine, ending.exitCode != ExitCode.success else { return ending }
        var message = ending.text
        if message.last == "\n" { message.removeLast() }
        return .usage("\(text): \(message)")
    }

    /// Whether both are in the file, in the environment, or on the command line.
    func isSameKind(as other: OptionSource) -> Bool {
        switch (self, other) {
        case (.file, .file), (.environment, .environment), (.commandLine, .commandLine): true
        default: false
        }
    }
}

/// One option as it was given.
struct GivenOption: Sendable {
    typealias Effect = @Sendable (inout Draft) throws(Ending) -> Void

    /// The long name; empty for a mistake and for a warning.
    let name: String
    /// The value; empty where there is none.
    let text: String
    let source: OptionSource
    let effect: Effect
}

/// The options in the order in which they take effect: those of the file, of the environment, of the command line.
struct GivenOptions {
    private(set) var all: [GivenOption] = []

    func last(_ name: String) -> GivenOption? { all.last { $0.name == name } }

    mutating func append(_ others: GivenOptions) {
        for each in others.all {
            if each.name == Option.verboseName { removeLevels(notFrom: each.source) }
            all.append(each)
        }
    }

    mutating func add(_ option: Option, _ text: String, _ source: OptionSource) {
        let name = option.longName ?? ""
        if name == Option.verboseName { removeLevels(notFrom: source) }
        all.append(
            GivenOption(
                name: name, text: text, source: source,
                effect: { draft throws(Ending) in try option.effect(&draft, text) }))
    }

    mutating func add(_ source: OptionSource, effect: @escaping GivenOption.Effect) {
        all.append(GivenOption(name: "", text: "", source: source, effect: effect))
    }

    mutating func addMistake(_ message: String, _ source: OptionSource) {
        add(source) { _ throws(Ending) in throw .usage(message) }
    }

    /// Adds an option by its long name, as in a line of a file and in a variable: a switch takes yes or no, `verbose` a
    /// level.
    ///
    /// - Parameter text: nil: the name stands alone.
    mutating func set(_ option: Option, to text: String?, _ source: OptionSource) {
        let name = option.longName ?? ""
        switch option.argument {
        case .required(let kind):
            guard let text, !text.isEmpty else { return addMistake("\(name) needs a value: \(kind).", source) }
            add(option, text, source)
        case .none:
            guard let isOn = Self.isOn(text ?? "yes") else {
                return addMistake("\(name) takes yes or no, not \"\(text ?? "")\".", source)
            }
            all.removeAll { $0.name == name }
            if isOn { add(option, "", source) }
        case .optional:
            guard let level = Int(text ?? "1"), (0...Self.levelMax).contains(level) else {
                return addMistake("\(name) takes a level from 0 to \(Self.levelMax), not \"\(text ?? "")\".", source)
            }
            all.removeAll { $0.name == name }
            for _ in 0..<level { add(option, "", source) }
        }
    }

    static let levelMax = 3

    private static func isOn(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "1", "yes", "true", "on": true
        case "0", "no", "false", "off": false
        default: nil
        }
    }

    /// Each `-v` raises the level by one. The level of a later source replaces that of an earlier one.
    private mutating func removeLevels(notFrom source: OptionSource) {
        if let last = last(Option.verboseName), last.source.isSameKind(as: source) { return }
        all.removeAll { $0.name == Option.verboseName && !$0.source.isSameKind(as: source) }
    }

    /// Adds the words of a command line, or of a line that begins with `-`.
    mutating func add(words: [String], _ source: OptionSource) {
        for event in getOptLong(words, options: Option.all) {
            switch event {
            case .option(let letter, let argument):
                guard let option = Option.all.first(where: { $0.letter == letter }) else { continue }
                // Blanks before a value are skipped, as memcached does: a file of options often has them.
                let text = String((argument ?? "").drop { $0.isWhitespace })
                if source == .commandLine || !option.isForCommandLineOnly {
                    add(option, text, source)
                } else {
                    addMistake("\(option.longName ?? "") can be given on the command line only.", source)
                }
            case .wrong(let message):
                add(source) { _ throws(Ending) in
                    guard source == .commandLine else { throw .usage(message) }
                    throw .badValue("larder: \(message)\nIllegal argument \"?\"\nlarder -h lists all options.")
                }
            case .word(let word):
                addMistake("There is no command and no option \"\(word)\"; larder -h lists all of them.", source)
            }
        }
    }
}

extension Option {
    static let verboseName = "verbose"

    /// Whether the option is allowed on the command line only.
    var isForCommandLineOnly: Bool {
        guard let longName else { return false }
        return Self.printingNames.contains(longName) || longName == "config" || longName == "check-config"
    }

    /// Options that print and end.
    static let printingNames = ["help", "version", "license", "man", "completions"]
}
