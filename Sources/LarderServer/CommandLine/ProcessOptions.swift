extension Option {
    static let process: [Option] = [
        Option(
            "v", "verbose", .optional, .process, "log more on standard error; -vv and -vvv even more",
            effect: { draft, _ in draft.settings.verbosity += 1 }),
        Option(
            long: "log-format", .required("FORMAT"), .process,
            "text, or json: an object with time, level and\nmessage a line (default text)",
            effect: { draft, text throws(Ending) in
                guard let format = LogFormat(rawValue: text) else {
                    throw .usage("--log-format takes text or json, not \"\(text)\".")
                }
                draft.settings.logFormat = format
            }),
        Option(
            "d", "daemon", .none, .process, "run in the background",
            effect: { draft, _ in draft.settings.daemonizes = true }),
        Option(
            "P", "pidfile", .required("FILE"), .process, "write the process id to this file",
            effect: { draft, text throws(Ending) in
                guard !text.isEmpty else { throw .usage("-P takes the path of a file.") }
                draft.settings.pidFilePath = text
            }),
        Option(
            long: "takeover", .required("SOCKET"), .process,
            "take over from the server at this socket, then wait\nthere for a successor (docs/take-over.md)",
            effect: { draft, text throws(Ending) in
                guard !text.isEmpty else { throw .usage("--takeover takes the path of a socket.") }
                draft.settings.takeoverPath = text
            }),
        Option(
            long: "keep-memory", .none, .process,
            "have systemd keep the items of caches without a file\nduring a restart (docs/systemd.md)",
            effect: { draft, _ in draft.settings.keepsMemory = true }),
        Option(
            "u", "user", .required("NAME"), .process, "become this user (from root only)",
            effect: { draft, text throws(Ending) in
                guard !text.isEmpty else { throw .usage("-u takes the name of a user.") }
                draft.settings.userName = text
            }),
        Option(
            "r", "enable-coredumps", .none, .process, "raise the limit on core files",
            effect: { draft, _ in draft.settings.raisesCoreLimit = true }),
        Option(
            "h", "help", .none, .process, "print this and exit",
            effect: { _, _ throws(Ending) in throw .printed(Help.text) }),
        Option(
            "V", "version", .none, .process, "print the version and exit",
            effect: { _, _ throws(Ending) in throw .printed(Version.line) }),
        Option(
            "i", "license", .none, .process, "print the licences and exit",
            effect: { _, _ throws(Ending) in throw .printed(Help.license) }),
        Option(
            long: "man", .none, .process, "print the manual page, for man -l -, and exit",
            effect: { _, _ throws(Ending) in throw .printed(Manual.text) }),
        Option(
            long: "completions", .required("SHELL"), .process,
            "print completions for bash, zsh or fish, and exit",
            effect: { _, text throws(Ending) in
                guard let shell = Shell(rawValue: text) else {
                    throw .usage("--completions takes bash, zsh or fish, not \"\(text)\".")
                }
                throw .printed(Completions.text(for: shell))
            }),
    ]

    /// What memcached has and Larder does not: refused where serving without it would expose data or
    /// lose it, else noted in one line.
    static let accepted: [Option] = [
        Option(
            "B", "protocol", .required("NAME"), .listening,
            "ascii, binary, or auto: by the first byte\n(default auto)",
            effect: { draft, text throws(Ending) in
                draft.bindingProtocol = try bindingProtocol(text)
            }),
        Option(
            "f", "slab-growth-factor", .required("NUM"), .accepted, "ignored: there are no slab classes",
            effect: { draft, text throws(Ending) in
                guard let factor = Double(text), factor > 1, factor.isFinite else {
                    throw .badValue("Factor must be greater than 1")
                }
                draft.settings.growthFactor = factor
                draft.warn("-f is ignored: Larder has no slab classes, an item takes the blocks it needs.")
            }),
        Option(
            "n", "slab-min-size", .required("BYTES"), .accepted, "ignored: there are no slab classes",
            effect: { draft, text throws(Ending) in
                draft.settings.chunkSizeBytes = try positiveNumber(
                    text, "-n", orElse: "Chunk size must be greater than 0")
                draft.warn("-n is ignored: Larder has no slab classes, an item takes the blocks it needs.")
            }),
        Option(
            "N", "napi-ids", .required("NUM"), .accepted, "ignored: clients go to the workers in turn",
            effect: { draft, text throws(Ending) in
                draft.napiIDs = try positiveNumber(
                    text, "-N", orElse: "Maximum number of NAPI IDs must be greater than 0")
                draft.warn("-N is ignored: connections go to the worker threads in turn.")
            }),
    ]
}
