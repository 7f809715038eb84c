/// The settings in the environment: `LARDER_MEMORY_LIMIT` and the like for each option, and the ten variables of
/// Bitnami's image for memcached, each of which may name a file as `..._FILE`.
struct ConfigurationEnvironment {
    let value: (String) -> String?
    let readFile: (String) -> ConfigurationContents

    static let configName = "LARDER_CONFIG"
    /// The container image sets it.
    static let containerName = "LARDER_CONTAINER"

    /// Whether the program runs in the container image.
    var isContainer: Bool { value(Self.containerName).map { !$0.isEmpty } ?? false }

    /// Appends the defaults of the container image. No client outside a container reaches its loopback addresses. The
    /// health check asks the admin listener, so that it works with every port of the cache.
    func addContainerDefaults(to given: inout GivenOptions) {
        guard isContainer else { return }
        let source = OptionSource.environment(Self.containerName)
        if given.last("listen") == nil, given.last("unix-socket") == nil { add("listen", "*", source, to: &given) }
        guard given.last("admin") == nil else { return }
        add("admin", "127.0.0.1:9150", source, to: &given)
        // With the host's network another container may have the port.
        given.add(source) { draft in draft.settings.admin?.mayBeMissing = true }
    }

    private func add(_ longName: String, _ text: String, _ source: OptionSource, to given: inout GivenOptions) {
        guard let option = Option.all.first(where: { $0.longName == longName }) else { return }
        given.add(option, text, source)
    }

    /// The variable of an option.
    static func name(of option: Option) -> String {
        "LARDER_" + String((option.longName ?? "").uppercased().map { $0 == "-" ? "_" : $0 })
    }

    /// Appends the options. They replace or turn off options that were given before.
    func addOptions(to given: inout GivenOptions) {
        addBitnami(to: &given)
        for option in Option.all where !option.isForCommandLineOnly {
            let name = Self.name(of: option)
            guard let text = value(name), !text.isEmpty, !Self.isOfKubernetes(name, text) else { continue }
            let source = OptionSource.environment(name)
            // Each line of the variable is one value.
            for line in text.split(separator: "\n") { set(option, String(line), source, in: &given) }
        }
    }

    /// Kubernetes sets variables for each service. A service with the name larder has LARDER_PORT=tcp://...
    private static func isOfKubernetes(_ name: String, _ text: String) -> Bool {
        name.hasSuffix("_PORT") && ["tcp://", "udp://", "sctp://"].contains { text.hasPrefix($0) }
    }

    private func set(_ option: Option, _ text: String, _ source: OptionSource, in given: inout GivenOptions) {
        guard !ConfigurationFile.hasControlCharacter(text.utf8) else {
            return given.addMistake("the value has a control character.", source)
        }
        given.set(option, to: text, source)
    }

    // MARK: Bitnami's

    private static let bitnami = [
        ("LISTEN_ADDRESS", "listen"), ("PORT_NUMBER", "port"), ("CACHE_SIZE", "memory-limit"),
        ("MAX_CONNECTIONS", "conn-limit"), ("THREADS", "threads"), ("MAX_ITEM_SIZE", "max-item-size"),
    ]

    private func addBitnami(to given: inout GivenOptions) {
        for (suffix, longName) in Self.bitnami {
            guard let (text, source) = bitnami(suffix, &given),
                let option = Option.all.first(where: { $0.longName == longName })
            else { continue }
            set(option, text, source, in: &given)
        }
        addLogin(to: &given)
        if let (text, source) = bitnami("EXTRA_FLAGS", &given) {
            // As Bitnami's script reads them: split at blanks, without quotation marks.
            given.add(words: text.split { $0 == " " || $0 == "\t" || $0 == "\n" }.map(String.init), source)
        }
        if let (_, source) = bitnami("MAX_TIMEOUT", &given) {
            given.add(source) { draft in
                draft.warn("\(source.text) is passed over: Larder ends within five seconds of the signal.")
            }
        }
    }

    /// MEMCACHED_PASSWORD turns SASL on, for one user.
    private func addLogin(to given: inout GivenOptions) {
        let user = bitnami("USERNAME", &given)
        guard let (password, source) = bitnami("PASSWORD", &given) else { return }
        let name = user?.text ?? "root"
        guard !name.contains(":"), name.utf8.count <= UserTable.fieldLengthMax,
            !ConfigurationFile.hasControlCharacter(name.utf8)
        else {
            return given.addMistake(
                "the name takes at most \(UserTable.fieldLengthMax) bytes, without a colon.",
                user?.source ?? source)
        }
        guard password.utf8.count <= UserTable.fieldLengthMax, !ConfigurationFile.hasControlCharacter(password.utf8)
        else {
            return given.addMistake(
                "the password takes at most \(UserTable.fieldLengthMax) bytes, in one line.", source)
        }
        if let option = Option.all.first(where: { $0.longName == "enable-sasl" }) { given.set(option, to: nil, source) }
        given.add(source) { draft in
            draft.settings.userEntry = "\(name):\(password)"
            draft.settings.userEntrySource = source
        }
    }

    /// The value of `MEMCACHED_...`, and the variable that has it. The variable with `_FILE` takes precedence.
    private func bitnami(_ suffix: String, _ given: inout GivenOptions) -> (text: String, source: OptionSource)? {
        let name = "MEMCACHED_" + suffix
        guard let path = value(name + "_FILE"), !path.isEmpty else {
            guard let text = value(name), !text.isEmpty else { return nil }
            return (text, .environment(name))
        }
        let source = OptionSource.environment(name + "_FILE")
        switch readFile(path) {
        case .failed(let reason):
            given.addMistake("\(path) cannot be read: \(reason).", source)
        case .bytes(var bytes, _):
            while bytes.last == UInt8(ascii: "\n") || bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
            guard bytes.count <= ConfigurationFile.lineBytesMax, let text = String(validating: bytes, as: UTF8.self)
            else {
                given.addMistake("\(path) is longer than \(ConfigurationFile.lineBytesMax) bytes or not UTF-8.", source)
                return nil
            }
            given.add(source) { draft in draft.settings.readsFilesAgain = true }
            return text.isEmpty ? nil : (text, source)
        }
        return nil
    }
}
