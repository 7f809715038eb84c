/// One option. The command line, the file of `--config`, the environment and `-h` use this table.
struct Option: Sendable {
    enum Argument: Sendable, Equatable {
        case none
        /// Needs an argument, which `-h` calls by this name.
        case required(String)
        /// Takes one only as `--name=argument`.
        case optional

        /// getopt_long's number for it.
        var getOptCode: Int32 {
            switch self {
            case .none: 0
            case .required: 1
            case .optional: 2
            }
        }
    }

    /// Where `-h` lists it.
    enum Group: String, Sendable, CaseIterable {
        case listening = "Where to listen"
        case memory = "Memory"
        case load = "Threads and connections"
        case behaviour = "Behaviour"
        case caches = "Named caches"
        case process = "Logging and process"
        case accepted = "Accepted for compatibility with memcached"
    }

    typealias Effect = @Sendable (inout Draft, String) throws(Ending) -> Void

    /// What getopt knows it by. An option without a short form has one that nobody can type.
    let letter: Character
    let longName: String?
    let argument: Argument
    let group: Group
    /// One line for `-h`, default included.
    let help: String
    /// What it does; the string is its argument, empty where there is none.
    let effect: Effect

    init(
        _ letter: Character, _ longName: String?, _ argument: Argument, _ group: Group, _ help: String,
        effect: @escaping Effect
    ) {
        self.letter = letter
        self.longName = longName
        self.argument = argument
        self.group = group
        self.help = help
        self.effect = effect
    }

    /// An option that has a long name only, as Larder's own have: memcached's letters are memcached's.
    init(
        long name: String, _ argument: Argument, _ group: Group, _ help: String, effect: @escaping Effect
    ) {
        // A hash of the name, in a plane of Unicode that is nobody's: a test sees to it that no two meet.
        let hash = name.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
        let scalar = UnicodeScalar(0xF0000 + hash % 0xFFF0) ?? "\u{F0000}"
        self.init(Character(scalar), name, argument, group, help, effect: effect)
    }

    /// Whether `-X` is a way to write it.
    var hasLetter: Bool { letter.isASCII }

    /// Whether the long name is memcached's, which may be abbreviated. Larder's own names must be spelled out.
    /// Otherwise they would make abbreviations of memcached's names ambiguous.
    var hasMemcachedName: Bool { hasLetter && letter != "D" }

    /// getopt's number for it.
    var code: Int32 { Int32(letter.unicodeScalars.first?.value ?? 0) }

    /// Every option of memcached 1.6.45 and Larder's own, in the order of `-h`.
    static let all = listening + memory + load + behaviour + caches + configuration + process + accepted
}

/// The end of a command line that does not lead to serving: what to print, and the exit code.
package struct Ending: Error, Equatable {
    /// For standard output when the code is 0, else for standard error.
    package var text: String
    package var exitCode: Int32

    static func printed(_ text: String) -> Ending {
        Ending(text: text, exitCode: ExitCode.success)
    }

    /// A value that cannot be: memcached leaves with 1.
    static func badValue(_ message: String) -> Ending {
        Ending(text: message + "\n", exitCode: ExitCode.badValue)
    }

    /// A command line that makes no sense, or asks for what Larder does not have.
    static func usage(_ message: String) -> Ending {
        Ending(text: message + "\n", exitCode: ExitCode.usage)
    }

    /// An address that cannot be listened on.
    static func osError(_ message: String) -> Ending {
        Ending(text: message + "\n", exitCode: ExitCode.osError)
    }
}

/// The settings while the command line is read.
struct Draft {
    var settings = Settings()
    private(set) var warnings: [String] = []
    /// `-B`
    var bindingProtocol: Settings.BindingProtocol?
    /// Whether `-p` was given.
    var hasTCPPort = false
    /// `-m auto`
    var memoryIsAutomatic = false
    /// `-N`, checked against `-t` at the end.
    var napiIDs = 0
    /// Each `--cache` as given: what they mean depends on `--compat`, which may stand behind them.
    var cacheTexts: [String] = []
    var isCompatible = false
    /// `--check-config`
    var onlyChecks = false

    /// Notes a warning, once however often its reason is given.
    mutating func warn(_ message: String) {
        if !warnings.contains(message) { warnings.append(message) }
    }
}
