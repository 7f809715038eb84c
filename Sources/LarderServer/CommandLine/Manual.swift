/// The manual page, in mdoc(7). Options, subcommands and examples are those of `-h`.
enum Manual {
    /// What `--man` prints.
    static let text: String = {
        var page = [
            ".\\\" larder --man prints this page.", ".Dd \(Version.date)", ".Dt LARDER 1",
            ".Os",
            ".Sh NAME", ".Nm larder", ".Nd memcached-compatible cache server", ".Sh SYNOPSIS", ".Nm larder",
            ".Op Ar options",
        ]
        for command in Subcommand.all { page += synopsis(command) }
        for section in [
            description, options, extendedOptions, subcommands, environment, signals, exitStatus, examples,
        ] { page += section }
        return page.joined(separator: "\n") + "\n"
    }()

    private static let columnsMax = 72

    private static func synopsis(_ command: Subcommand) -> [String] {
        var lines = [".Nm larder", ".Cm \(command.name)"]
        if !command.flags.isEmpty { lines.append(".Op Ar options") }
        for operand in command.operands {
            let name = operand.filter { $0 != "[" && $0 != "]" }
            lines.append(name == operand ? ".Ar \(name)" : ".Op Ar \(name)")
        }
        return lines
    }

    // MARK: Sections

    private static let description =
        [".Sh DESCRIPTION", ".Nm"]
        + prose(
            "serves memcached's text, meta and binary protocol. It keeps the items in memory, or in a file that outlives "
                + "the process. Without an address it listens on this machine only, port 11211.")

    private static var options: [String] {
        var lines =
            [".Sh OPTIONS"]
            + prose(
                "Each option can also be given in the file of --config and in the environment. The file is read first, "
                    + "then the environment, then the command line, and the last value counts.")
        for group in Option.Group.allCases {
            lines += [".Ss \(group.rawValue)", ".Bl -tag -width Ds"]
            for option in Option.all where option.group == group { lines += item(option) }
            lines.append(".El")
        }
        return lines
    }

    private static func item(_ option: Option) -> [String] {
        var names: [String] = []
        if option.hasLetter { names.append("Fl \(option.letter)") }
        if let name = option.longName { names.append("Fl \(dashes("-" + name))") }
        var line = ".It " + names.joined(separator: " , ")
        if case .required(let argument) = option.argument {
            line += (option.longName == nil ? " " : " Ns = Ns ") + "Ar \(argument)"
        }
        return [line] + prose(option.help)
    }

    private static var extendedOptions: [String] {
        var lines = [".Ss Names behind \\-o"]
        lines += prose("Names with a value are given as NAME=VALUE, with commas between several of them.")
        lines.append(".Bl -tag -width Ds -compact")
        for option in ExtendedOption.all { lines.append(".It Cm \(option.name)") }
        return lines + [".El"]
    }

    private static var subcommands: [String] {
        var lines = [".Sh SUBCOMMANDS"]
        for command in Subcommand.all {
            lines.append(".Ss larder \(command.name)")
            guard let usage = command.paragraphs.first else {
                lines += prose("This command is to \(command.summary).")
                continue
            }
            lines += [".Bd -literal", escaped(usage), ".Ed"]
            for paragraph in command.paragraphs.dropFirst() { lines += [".Pp"] + prose(paragraph) }
            guard !command.flags.isEmpty else { continue }
            lines.append(".Bl -tag -width Ds")
            for flag in command.flags {
                lines.append(".It Fl \(dashes(flag.name.dropFirst()))" + (flag.argument.map { " Ar \($0)" } ?? ""))
                lines += prose(flag.help)
            }
            lines.append(".El")
        }
        return lines
    }

    private static let environment = list(
        "ENVIRONMENT",
        [
            ("Ev LARDER_CONFIG", "The file of --config."),
            (
                "Ev LARDER_...",
                "Each option: its long name in capitals, with _ for -, such as LARDER_MEMORY_LIMIT. A switch takes yes "
                    + "or no."
            ),
            ("Ev MEMCACHED_...", "The variables of Bitnami's image for memcached."),
            ("Ev MEMCACHED_SASL_PWDB", "The file of users for -S, if there is no -Y."),
            ("Ev MEMCACHED_PORT_FILENAME", "A file into which the server writes its ports."),
            (
                "Ev NOTIFY_SOCKET , WATCHDOG_USEC , WATCHDOG_PID",
                "The service manager's socket: it is told when the server is ready, reads its settings again, stops, and "
                    + "that its event loop is alive."
            ),
            (
                "Ev LISTEN_FDS , LISTEN_PID , LISTEN_FDNAMES",
                "Listening sockets that the service manager has opened. They take the place of -l, -p and -s."
            ),
        ])

    private static let signals = list(
        "SIGNALS",
        [
            ("Dv SIGTERM , SIGINT , SIGUSR1", "Answer the requests that have arrived, and end."),
            ("Dv SIGHUP", "Read the settings, the users and the certificates again."),
        ])

    private static let exitStatus = list(
        "EXIT STATUS",
        [
            ("0", "The server served and was stopped, or printed the answer."),
            ("1", "A value cannot be used, or a server did not answer a subcommand, or refused it."),
            ("2", "There is no such key (get and delete), or the file is being made (inspect)."),
            ("64", "Options exclude each other, or the file of --config or the environment has a mistake."),
            ("67", "There is no such user."), ("71", "A system call failed."),
        ])

    private static var examples: [String] {
        var lines = [".Sh EXAMPLES", ".Bd -literal"]
        for line in Help.examples.split(separator: "\n").dropFirst() {
            lines.append(escaped(String(line.drop { $0 == " " })))
        }
        return lines + [".Ed"]
    }

    // MARK: Parts of mdoc

    private static func list(_ title: String, _ items: [(name: String, text: String)]) -> [String] {
        var lines = [".Sh \(title)", ".Bl -tag -width Ds"]
        for item in items { lines += [".It \(item.name)"] + prose(item.text) }
        return lines + [".El"]
    }

    /// Plain text: each sentence begins a line, and no line is long.
    private static func prose(_ text: String) -> [String] {
        var lines: [String] = []
        var line = ""
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\n" }) {
            let endsSentence = line.hasSuffix(".") && !line.hasSuffix("...")
            if !line.isEmpty, endsSentence || line.count + 1 + word.count > columnsMax {
                lines.append(escaped(line))
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        return line.isEmpty ? lines : lines + [escaped(line)]
    }

    /// Escapes a line, so that readers of mdoc take it for text.
    private static func escaped(_ line: String) -> String {
        var text = ""
        var previous: Character = " "
        for character in line {
            switch character {
            case "\\": text += "\\e"
            // The dash of an option, and not a hyphen.
            case "-" where !previous.isLetter: text += "\\-"
            case ".", "'": text += (text.isEmpty ? "\\&" : "") + String(character)
            default: text.append(character)
            }
            previous = character
        }
        return text
    }

    private static func dashes(_ name: some StringProtocol) -> String {
        name.map { $0 == "-" ? "\\-" : String($0) }.joined()
    }
}
