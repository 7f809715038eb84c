/// The output of `--check-config`. The lines are a file for `--config`; the sources of the settings are comments.
enum ConfigurationReport {
    /// A setting, or one value of a setting that may be given several times.
    struct Row: Equatable {
        /// The option's long name; for `-o` with the name behind it.
        var name: String
        /// The line for a file; nil: the setting is off, or has no value.
        var line: String?
        /// The word for a setting without a line: off, none.
        var absence = ""
        /// Where the setting was given; nil: it is the default.
        var source: String?

        /// The value, for a line of the log.
        var value: String {
            guard let line else { return absence }
            let value = line.dropFirst(name.count).drop { $0 == " " || $0 == "=" }
            return value.isEmpty ? "on" : String(value)
        }
    }

    private static let sourceColumn = 40

    static func text(_ settings: Settings, warnings: [String]) -> String {
        var text = "# The settings of Larder \(Version.larder). A file for --config may have these lines.\n"
        for warning in warnings { text += "# warning: \(printable(warning))\n" }
        if let sum = settings.automaticMemory { text += "# \(printable(sum.text))\n" }
        for row in rows(settings) {
            let line = row.line ?? "# \(row.name)"
            let source = row.source ?? (row.line == nil ? "default: \(row.absence)" : "default")
            text += line + String(repeating: " ", count: max(1, sourceColumn - line.count)) + "# \(source)\n"
        }
        if let source = settings.userEntrySource, settings.userFilePath == nil {
            text += "# auth-file" + String(repeating: " ", count: sourceColumn - 11) + "# one user, of \(source.text)\n"
        }
        return text
    }

    /// The settings that are not the default, in one line of the log; nil: there are none.
    static func summary(_ settings: Settings) -> String? {
        let defaults = rows(Settings()).compactMap(\.line)
        let changed = rows(settings).compactMap { row -> String? in
            guard let line = row.line, let source = row.source, !defaults.contains(line) else { return nil }
            return "\(line) (\(source))"
        }
        return changed.isEmpty ? nil : changed.joined(separator: ", ")
    }

    /// Every setting, in the order of `-h`.
    static func rows(_ settings: Settings) -> [Row] {
        var rows: [Row] = []
        for group in Option.Group.allCases {
            for option in Option.all where option.group == group && !option.isForCommandLineOnly {
                rows += self.rows(option, settings)
            }
        }
        return rows
    }

    private static func rows(_ option: Option, _ settings: Settings) -> [Row] {
        guard let name = option.longName, let view = SettingView.all[name] else { return [] }
        let given = settings.given.filter { $0.name == name || isAlias($0.name, of: name) }
        let isAutomatic = name == "memory-limit" && settings.automaticMemory != nil
        let source = given.last.map { printable($0.source.text) + (isAutomatic ? ", auto" : "") }
        switch view {
        case .alias:
            return []
        case .isOn(let isOn):
            return [Row(name: name, line: isOn(settings) ? name : nil, absence: "off", source: source)]
        case .value(let view):
            let value = view(settings)
            let isImplied = source == nil && value != view(Settings())
            return [
                Row(
                    name: name, line: value.map { line(name, $0) }, absence: "none",
                    source: isImplied ? implication(name, settings) : source)
            ]
        case .asGiven(let otherwise):
            if name == "extended" { return extendedRows(given) }
            if given.isEmpty { return [Row(name: name, line: nil, absence: otherwise, source: nil)] }
            return given.map { each in
                let isSwitch = option.argument == .none
                return Row(
                    name: name, line: isSwitch ? name : line(name, each.text), source: printable(each.source.text))
            }
        }
    }

    /// The source of a setting that was not given and is not the default.
    private static func implication(_ name: String, _ settings: Settings) -> String {
        name == "auth-file" && settings.userFileForm == .passwordDatabase
            ? "MEMCACHED_SASL_PWDB" : "follows from other settings"
    }

    private static func isAlias(_ name: String, of other: String) -> Bool {
        if case .alias(let target)? = SettingView.all[name] { return target == other }
        return false
    }

    /// One row for each name behind `-o`, with its last value.
    private static func extendedRows(_ given: [GivenOption]) -> [Row] {
        var rows: [Row] = []
        for each in given {
            for part in each.text.split(separator: ",") {
                let name = "extended " + part.prefix { $0 != "=" }
                let row = Row(name: name, line: line("extended", String(part)), source: printable(each.source.text))
                rows.removeAll { $0.name == name }
                rows.append(row)
            }
        }
        for (name, value) in SettingView.extendedDefaults where !rows.contains(where: { $0.name == "extended " + name })
        {
            rows.append(Row(name: "extended " + name, line: "extended \(name)=\(value)", source: nil))
        }
        return rows
    }

    /// A line that a file may have.
    private static func line(_ name: String, _ value: String) -> String {
        var text = ""
        for character in printable(value) {
            if character == "#" { text += "\\" }
            text.append(character)
        }
        // A reader of the file drops the outer quotation marks of a value.
        if let first = text.first, first == "\"" || first == "'" { text = "\"\(text)\"" }
        return "\(name) \(text)"
    }

    /// The text, escaped if it could move a terminal's cursor.
    static func printable(_ text: String) -> String {
        guard ConfigurationFile.hasControlCharacter(text.utf8) else { return text }
        var text = text
        return text.withUTF8 { LogText.escaped($0) }
    }
}

/// A difference between two readings of the settings.
struct SettingChange: Equatable {
    var name: String
    var before: String
    var after: String

    static func all(from old: Settings, to new: Settings) -> [SettingChange] {
        let (before, after) = (values(old), values(new))
        var names = before.map(\.name)
        for row in after where !names.contains(row.name) { names.append(row.name) }
        return names.compactMap { name in
            let old = before.first { $0.name == name }?.value ?? "none"
            let new = after.first { $0.name == name }?.value ?? "none"
            return old == new ? nil : SettingChange(name: name, before: old, after: new)
        }
    }

    /// The settings by name. The values of a setting that was given several times are joined.
    private static func values(_ settings: Settings) -> [(name: String, value: String)] {
        var values: [(name: String, value: String)] = []
        for row in ConfigurationReport.rows(settings) {
            if let index = values.firstIndex(where: { $0.name == row.name }) {
                values[index].value += " " + row.value
            } else {
                values.append((row.name, row.value))
            }
        }
        return values
    }
}
