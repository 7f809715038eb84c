/// What a command line asks for.
package enum CommandLineRequest {
    /// Serve; the warnings are lines for standard error.
    case serve(Settings, warnings: [String])
    /// Ask a server whether it is there.
    case ping(PingSettings)
    /// Send a command to a server.
    case client(ClientSettings)
    /// Look through a store's file.
    case inspect(InspectSettings)
    /// Run `larder-log` with these words.
    case log([String])
    /// Run another program with these words, the first of which is its name.
    case program([String])
    /// Print and leave.
    case end(Ending)
}

/// Reads a command line, without the program's own name, and the settings in the environment and in the file of
/// `--config`. Touches nothing outside its arguments.
///
/// - Parameters:
///   - environment: the value of an environment variable.
///   - readFile: the contents of a file.
package func parseCommandLine(
    _ arguments: [String], environment: @escaping (String) -> String? = { _ in nil },
    readFile: @escaping (String) -> ConfigurationContents = { _ in .failed("there are no files here") }
) -> CommandLineRequest {
    var words = arguments[...]
    // `docker run IMAGE memcached -m 64` and `docker run IMAGE larder -m 64` both work.
    let isNamed = words.first == "larder" || words.first == "memcached"
    if isNamed { words.removeFirst() }
    do {
        let configuration = ConfigurationEnvironment(value: environment, readFile: readFile)
        // A container's commands have the server's environment.
        var server: Settings? { try? parseServing([], configuration).settings }
        switch words.first {
        case "ping": return .ping(try parsePing(Array(words.dropFirst()), server: server))
        case .some(let name) where ClientCommandParser.names.contains(name):
            return .client(try ClientCommandParser.parse(name, Array(words.dropFirst()), environment: server))
        case "inspect": return .inspect(try parseInspect(Array(words.dropFirst())))
        case "log":
            let rest = Array(words.dropFirst())
            return ["-h", "--help"].contains(rest.first) ? .end(.printed(Help.log)) : .log(rest)
        case "help": return .end(.printed(Help.text))
        case "version": return .end(.printed(Version.line))
        case .some(let word) where configuration.isContainer && !isNamed && !word.hasPrefix("-"):
            return .program(Array(words))
        default:
            let draft = try parseServing(Array(words), configuration)
            return .serve(draft.settings, warnings: draft.warnings)
        }
    } catch {
        return .end(error)
    }
}

private func parseServing(
    _ arguments: [String], _ environment: ConfigurationEnvironment
) throws(Ending) -> Draft {
    var draft = Draft()
    let given = givenOptions(arguments, environment, &draft)
    for each in given.all {
        do throws(Ending) {
            try each.effect(&draft)
        } catch {
            throw each.source.located(error)
        }
    }
    draft.settings.given = given.all.filter { !$0.name.isEmpty }
    applyPasswordDatabase(environment.value, to: &draft)
    try applyProtocol(to: &draft)
    try applyCaches(to: &draft)
    try applyMemory(MemoryLimits(readFile: environment.readFile), to: &draft)
    // memcached's too: -U alone moves both.
    if draft.settings.udpPort != 0, !draft.hasTCPPort { draft.settings.tcpPort = draft.settings.udpPort }
    try checkTogether(draft)
    warnOfSilence(&draft)
    if draft.onlyChecks { throw .printed(ConfigurationReport.text(draft.settings, warnings: draft.warnings)) }
    return draft
}

/// The options in the order of their effects: the file's, the environment's, those of the command line.
private func givenOptions(
    _ arguments: [String], _ environment: ConfigurationEnvironment, _ draft: inout Draft
) -> GivenOptions {
    var onCommandLine = GivenOptions()
    onCommandLine.add(words: arguments, .commandLine)
    // -h prints even if there is a mistake in the file or the environment.
    if Option.printingNames.contains(where: { onCommandLine.last($0) != nil }) { return onCommandLine }
    var given = GivenOptions()
    let path = onCommandLine.last("config")?.text ?? environment.value(ConfigurationEnvironment.configName) ?? ""
    if !path.isEmpty {
        given = ConfigurationFile.options(environment.readFile(path), path: path)
        draft.settings.configurationPath = path
        draft.settings.readsFilesAgain = true
    }
    environment.addOptions(to: &given)
    given.append(onCommandLine)
    environment.addContainerDefaults(to: &given)
    return given
}

/// memcached's variable for the users of `-S`.
private func applyPasswordDatabase(_ environment: (String) -> String?, to draft: inout Draft) {
    guard draft.settings.saslEnabled, draft.settings.userFilePath == nil, draft.settings.userEntry == nil,
        let path = environment("MEMCACHED_SASL_PWDB"), !path.isEmpty
    else { return }
    draft.settings.userFilePath = path
    draft.settings.userFileForm = .passwordDatabase
}

/// `-B`, and what `-S` and `-Y` make of it: each of them is a way in for one protocol only.
private func applyProtocol(to draft: inout Draft) throws(Ending) {
    if draft.settings.saslEnabled {
        guard draft.bindingProtocol ?? .binary == .binary else {
            throw .usage("ERROR: You cannot allow the ASCII protocol while using SASL.")
        }
        draft.settings.bindingProtocol = .binary
    } else if draft.settings.userFilePath != nil {
        guard draft.bindingProtocol ?? .ascii == .ascii else {
            throw .usage("ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.")
        }
        draft.settings.bindingProtocol = .ascii
    } else {
        draft.settings.bindingProtocol = draft.bindingProtocol ?? .negotiating
    }
}

/// What only the whole command line shows, in memcached's order.
private func checkTogether(_ draft: Draft) throws(Ending) {
    let settings = draft.settings
    if draft.napiIDs > settings.threadCount {
        throw .usage(
            "Number of napi_ids(\(draft.napiIDs)) cannot be greater than number of "
                + "threads(\(settings.threadCount))")
    }
    if settings.maxItemSizeBytes < 1024 { throw .usage("Item max size cannot be less than 1024 bytes.") }
    if settings.maxItemSizeBytes > settings.memoryLimitBytes / 2 {
        throw .usage(
            "Cannot set item size limit higher than 1/2 of memory max.\n"
                + "-I is \(settings.maxItemSizeBytes) bytes, and half of -m \(settings.memoryLimitBytes >> 20) is "
                + "\(settings.memoryLimitBytes / 2).")
    }
    if settings.maxItemSizeBytes > 1 << 30 {
        throw .usage("Cannot set item size limit higher than a gigabyte.")
    }
    try checkMachinery(settings)
    if settings.udpPort != 0, settings.saslEnabled {
        throw .usage("ERROR: Cannot enable UDP while using binary SASL authentication.")
    }
    if settings.udpPort != 0, settings.userFilePath != nil {
        throw .usage("Cannot use UDP with ascii authentication enabled (-U 0 to disable)")
    }
    if !settings.tlsEnabled, let address = settings.listenAddresses.first(where: { $0.encryption != .asConfigured }) {
        throw .osError("'\(address.encryption.prefix)' option is valid only when SSL is enabled")
    }
    try checkUwsgi(settings)
    if settings.tlsEnabled, settings.tcpPort == 0 { throw .usage("ERROR: You cannot enable SSL without a TCP port.") }
}

/// uWSGI's protocol, its statistics and the datagrams of `udp=` have no login and no TLS, so clients could avoid both
/// through these listeners.
private func checkUwsgi(_ settings: Settings) throws(Ending) {
    guard !settings.uwsgiIsOpen, let asking = unprotectedListener(settings) else { return }
    let guards = [
        ("-S", settings.saslEnabled), ("-Y", settings.userFilePath != nil && !settings.saslEnabled),
        ("-Z", settings.tlsEnabled),
    ]
    guard let option = guards.first(where: \.1)?.0 else { return }
    throw .usage(
        "\(asking) does not go with \(option): it has no login and no TLS. Give --uwsgi-open beside it if the network is "
            + "trusted.")
}

private func unprotectedListener(_ settings: Settings) -> String? {
    if !settings.uwsgiPlaces.isEmpty { return "--uwsgi" }
    if !settings.statisticsPlaces.isEmpty { return "--stats" }
    return settings.caches.first { !$0.udpAddresses.isEmpty }.map { "cache \"\($0.name)\": udp" }
}

/// memcached runs without any place to listen at, and says nothing.
private func warnOfSilence(_ draft: inout Draft) {
    let settings = draft.settings
    if settings.tcpPort == 0, settings.udpPort == 0, settings.unixSocketPath == nil, settings.uwsgiPlaces.isEmpty,
        settings.caches.allSatisfy(\.places.isEmpty)
    {
        draft.warn("-p 0 without -s: Larder has no listener, and no client can connect.")
    }
}
