import Synchronization

/// Reads the settings again on SIGHUP. The settings that need no restart take effect. The log has a line for each
/// setting that differs. Used by the main thread only.
struct SettingsReload {
    private let reread: () -> CommandLineRequest
    /// The settings as they were read, with the changes that have taken effect.
    private var settings: Settings

    /// - Parameter settings: as read at the start, before the server changed any of them.
    init(_ settings: Settings, reread: @escaping () -> CommandLineRequest) {
        self.settings = settings
        self.reread = reread
    }

    /// Reads settings, users and certificates again, and writes the lines of the log.
    mutating func run(_ state: ServerState) {
        guard settings.readsFilesAgain || state.access.hasFiles else {
            return StandardError.write("larder: SIGHUP: there is no file to read again")
        }
        var read: [String] = []
        if settings.readsFilesAgain, readSettings(state) { read.append("settings") }
        read += state.access.reload(userEntry: settings.userEntry)
        if !read.isEmpty { StandardError.write("larder: SIGHUP: read again: " + read.joined(separator: ", ")) }
    }

    /// Returns false if the settings have a mistake. They stay as they were then.
    private mutating func readSettings(_ state: ServerState) -> Bool {
        switch reread() {
        case .serve(let new, _):
            for change in SettingChange.all(from: settings, to: new) { apply(change, new, state) }
            settings.userEntry = new.userEntry
            return true
        case .end(let ending):
            var reason = ending.text.split(separator: "\n").joined(separator: " ")
            if reason.last == "." { reason.removeLast() }
            StandardError.write(
                "larder: SIGHUP: \(ConfigurationReport.printable(reason)); the settings stay as they were",
                .warning)
            return false
        case .ping, .client, .inspect, .log, .program:
            return false
        }
    }

    private mutating func apply(_ change: SettingChange, _ new: Settings, _ state: ServerState) {
        switch change.name {
        case "verbose":
            settings.verbosity = new.verbosity
            state.verbosity.store(new.verbosity, ordering: .relaxed)
        case "extended idle_timeout":
            settings.idleTimeoutSeconds = new.idleTimeoutSeconds
            state.idleTimeoutSeconds.store(new.idleTimeoutSeconds, ordering: .relaxed)
        case "extended login_timeout":
            settings.loginTimeoutSeconds = new.loginTimeoutSeconds
            state.loginTimeoutSeconds.store(new.loginTimeoutSeconds, ordering: .relaxed)
        case "conn-limit":
            return applyConnectionLimit(change, new.connectionLimit, state)
        default:
            return StandardError.write(
                "larder: SIGHUP: \(change.name) \(change.after) needs a restart; until then it is \(change.before)",
                .warning)
        }
        settings.replaceGiven(change.name, by: new)
        StandardError.write("larder: SIGHUP: \(change.name) is \(change.after) now, and was \(change.before)")
    }

    /// `-c` may be lowered, and raised up to its value at the start. The open files and the tables of the process are
    /// for that number of clients.
    private mutating func applyConnectionLimit(_ change: SettingChange, _ wanted: Int, _ state: ServerState) {
        let atStart = state.settings.connectionLimit
        let limit = min(wanted, atStart)
        state.connectionLimit.setMaximum(limit)
        settings.connectionLimit = limit
        guard limit == wanted else {
            return StandardError.write(
                "larder: SIGHUP: conn-limit \(wanted) needs a restart; until then it is \(limit), as at the start",
                .warning)
        }
        StandardError.write("larder: SIGHUP: conn-limit is \(limit) now, and was \(change.before)")
    }
}

extension Settings {
    /// Replaces one name of `-o` by its value in other settings, so that the next reading is compared with this value.
    fileprivate mutating func replaceGiven(_ name: String, by other: Settings) {
        guard name.hasPrefix("extended ") else { return }
        let key = name.dropFirst("extended ".count)
        // The other names of `-o` keep their values, because they have not taken effect.
        given = given.flatMap { $0.without(key) } + other.given.flatMap { $0.only(key) }
    }
}

extension GivenOption {
    private func parts(where isWanted: (Substring) -> Bool) -> [GivenOption] {
        text.split(separator: ",").filter { part in isWanted(part.prefix { $0 != "=" }) }.map {
            GivenOption(name: name, text: String($0), source: source, effect: effect)
        }
    }

    fileprivate func without(_ key: Substring) -> [GivenOption] {
        name == "extended" ? parts { $0 != key } : [self]
    }

    fileprivate func only(_ key: Substring) -> [GivenOption] {
        name == "extended" ? parts { $0 == key } : []
    }
}
