/// The shells that have completions.
enum Shell: String, CaseIterable {
    case bash, zsh, fish
}

/// The completions of the shells, from the table of options.
enum Completions {
    /// What `--completions` prints.
    static func text(for shell: Shell) -> String {
        switch shell {
        case .bash: bash
        case .zsh: zsh
        case .fish: fish
        }
    }

    /// The choices that a shell offers for an argument.
    enum Offer: Equatable {
        case files
        case users
        case words([String])
        /// Words with commas between them.
        case list([String])
        case nothing
    }

    /// The choices for an argument of this name.
    static func offer(argument: String) -> Offer { argument == "FILE" ? .files : .nothing }

    // MARK: bash

    private static var bash: String {
        var text = """
            # Completions for bash. larder --completions bash prints them.
            _larder() {
                local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=
                # --name=value is three words here.
                if [[ $current == "=" ]]; then
                    current=
                elif [[ $previous == "=" ]]; then
                    previous=${COMP_WORDS[COMP_CWORD - 2]}
                fi
                ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
                COMPREPLY=()
                case $command in

            """
        for command in Subcommand.all where !command.flags.isEmpty { text += bashBranch(command) }
        text += "    esac\n    case $previous in\n"
        for option in Option.all where takesWord(option) {
            text += "    \(names(option).joined(separator: " | "))) \(bashOffer(option.offer)) ;;\n"
        }
        return text + """
                esac
                if [[ $current == -* ]]; then
                    _larder_words "\(Option.all.flatMap(names).joined(separator: " "))"
                elif ((COMP_CWORD == 1)); then
                    _larder_words "\(Subcommand.all.map(\.name).joined(separator: " "))"
                fi
            }
            _larder_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current"); }
            _larder_files() {
                compopt -o filenames 2>/dev/null
                mapfile -t COMPREPLY < <(compgen -f -- "$current")
            }
            _larder_list() {
                local last=${current##*,}
                mapfile -t COMPREPLY < <(compgen -P "${current%"$last"}" -W "$1" -- "$last")
            }
            complete -F _larder larder

            """
    }

    private static func bashBranch(_ command: Subcommand) -> String {
        var text = "    \(command.name))\n        case $previous in\n"
        for flag in command.flags {
            guard let argument = flag.argument else { continue }
            text += "        \(flag.name)) \(bashOffer(offer(argument: argument))) ;;\n"
        }
        let words = command.flags.map(\.name).joined(separator: " ")
        text += "        esac\n"
        if command.takesFile {
            text += "        [[ $current == -* ]] || { _larder_files; return; }\n"
        }
        return text + "        _larder_words \"\(words)\"\n        return\n        ;;\n"
    }

    private static func bashOffer(_ offer: Offer) -> String {
        switch offer {
        case .files: "_larder_files; return"
        case .users: "mapfile -t COMPREPLY < <(compgen -u -- \"$current\"); return"
        case .words(let words): "_larder_words \"\(words.joined(separator: " "))\"; return"
        case .list(let words): "_larder_list \"\(words.joined(separator: " "))\"; return"
        case .nothing: "return"
        }
    }

    // MARK: zsh

    private static var zsh: String {
        var text = """
            #compdef larder
            # Completions for zsh. larder --completions zsh prints them.
            local -a larder_options=(

            """
        for option in Option.all { text += "    \(zshLine(option))\n" }
        text += ")\nif (( CURRENT > 2 )); then\n    case $words[2] in\n"
        for command in Subcommand.all where !command.flags.isEmpty {
            text += "    \(command.name))\n        larder_options=(\n"
            for flag in command.flags {
                let argument = flag.argument.map { ":" + zshArgument($0, offer(argument: $0)) } ?? ""
                text += "            '*\(flag.name)[\(zshEscaped(flag.help))]\(argument)'\n"
            }
            if command.takesFile { text += "            '*:FILE:_files'\n" }
            text +=
                "        )\n        shift words\n        (( CURRENT-- ))\n        _arguments -s -S $larder_options\n"
            text += "        return\n        ;;\n"
        }
        let commands = Subcommand.all.map { "\($0.name)\\:\"\($0.summary)\"" }.joined(separator: " ")
        return text + """
                esac
            fi
            _arguments -s -S $larder_options '1:command:((\(commands.replacing("'", with: "'\\''"))))'

            """
    }

    private static func zshLine(_ option: Option) -> String {
        var short = option.hasLetter ? "-\(option.letter)" : nil
        var long = option.longName.map { "--\($0)" }
        var argument = ""
        if case .required(let name) = option.argument {
            argument = ":" + zshArgument(name, option.offer)
            short = short.map { $0 + "+" }
            long = long.map { $0 + "=" }
        }
        let names = [short, long].compactMap(\.self)
        let help = "[\(zshEscaped(option.summary))]\(argument)'"
        return names.count == 1 ? "'*\(names[0])\(help)" : "'*'{\(names.joined(separator: ","))}'\(help)"
    }

    private static func zshArgument(_ name: String, _ offer: Offer) -> String {
        let action =
            switch offer {
            case .files: "_files"
            case .users: "_users"
            case .words(let words): "(\(words.joined(separator: " ")))"
            case .list(let words): "_values -s , name \(words.joined(separator: " "))"
            case .nothing: " "
            }
        return "\(zshEscaped(name)):\(action)"
    }

    /// Text between single quotation marks, in a description of `_arguments`.
    private static func zshEscaped(_ text: String) -> String {
        text.map { character in
            switch character {
            case "\\", "[", "]", ":": "\\\(character)"
            case "'": "'\\''"
            default: String(character)
            }
        }.joined()
    }

    // MARK: fish

    private static var fish: String {
        let branches = Subcommand.all.filter { !$0.flags.isEmpty }
        let others = "-n 'not __fish_seen_subcommand_from \(branches.map(\.name).joined(separator: " "))'"
        var text = "# Completions for fish. larder --completions fish prints them.\ncomplete -c larder -f\n"
        for command in Subcommand.all {
            text += "complete -c larder -n __fish_use_subcommand -a \(command.name) -d \(fishQuoted(command.summary))\n"
        }
        for option in Option.all {
            var line = "complete -c larder \(others)"
            if option.hasLetter { line += " -s \(option.letter)" }
            if let name = option.longName { line += " -l \(name)" }
            if case .required = option.argument { line += fishOffer(option.offer) }
            text += line + " -d \(fishQuoted(option.summary))\n"
        }
        for command in branches {
            let beginning = "complete -c larder -n '__fish_seen_subcommand_from \(command.name)'"
            if command.takesFile { text += beginning + " -F\n" }
            for flag in command.flags {
                let name = flag.name.hasPrefix("--") ? "-l \(flag.name.dropFirst(2))" : "-s \(flag.name.dropFirst())"
                let argument = flag.argument.map { fishOffer(offer(argument: $0)) } ?? ""
                text += "\(beginning) \(name)\(argument) -d \(fishQuoted(flag.help))\n"
            }
        }
        return text
    }

    private static func fishOffer(_ offer: Offer) -> String {
        switch offer {
        case .files: " -r -F"
        case .users: " -x -a '(__fish_complete_users)'"
        case .words(let words), .list(let words): " -x -a '\(words.joined(separator: " "))'"
        case .nothing: " -x"
        }
    }

    private static func fishQuoted(_ text: String) -> String {
        "'" + text.map { $0 == "'" || $0 == "\\" ? "\\\($0)" : String($0) }.joined() + "'"
    }

    // MARK: Options

    private static func names(_ option: Option) -> [String] {
        (option.hasLetter ? ["-\(option.letter)"] : []) + (option.longName.map { ["--\($0)"] } ?? [])
    }

    private static func takesWord(_ option: Option) -> Bool {
        if case .required = option.argument { true } else { false }
    }
}

extension Option {
    /// Its help, in one line.
    var summary: String { help.split(separator: "\n").joined(separator: " ") }

    /// The choices that a shell offers for its argument.
    var offer: Completions.Offer {
        switch longName ?? "" {
        case "user": .users
        case "protocol": .words(["ascii", "binary", "auto"])
        case "log-format": .words(LogFormat.allCases.map(\.rawValue))
        case "completions": .words(Shell.allCases.map(\.rawValue))
        case "extended": .list(ExtendedOption.all.map(\.name))
        default:
            if case .required(let argument) = self.argument { Completions.offer(argument: argument) } else { .nothing }
        }
    }
}
