import LarderTesting
import Testing

@testable import LarderServer

/// Parses a command line with an environment and files of the test.
private func parse(
    _ line: String = "", file: String? = nil, _ variables: [String: String] = [:], files: [String: String] = [:]
) -> CommandLineRequest {
    var files = files
    files["f"] = file
    let words = line.split(separator: " ").map(String.init)
    return parseCommandLine(
        (file == nil ? [] : ["--config", "f"]) + words, environment: { variables[$0] },
        readFile: { [files] path in
            files[path].map { .bytes(Array($0.utf8), isWritableByAll: false) } ?? .failed("No such file or directory")
        })
}

private func served(_ request: CommandLineRequest) throws -> Settings {
    guard case .serve(let settings, _) = request else {
        if case .end(let ending) = request { Issue.record("\(ending.text)") }
        throw NotServed()
    }
    return settings
}

private struct NotServed: Error {}

private func ending(_ request: CommandLineRequest) -> Ending? {
    guard case .end(let ending) = request else { return nil }
    return ending
}

/// A value for each option, except those that print and end.
private let values: [String: String] = [
    "port": "12000", "udp-port": "12001", "listen": "10.0.0.1", "uwsgi": "3031", "unix-socket": "/tmp/l.sock",
    "unix-mask": "770", "listen-backlog": "5", "admin": "9150", "memory-limit": "128", "max-item-size": "2097152",
    "memory-file": "/tmp/items", "store": "/tmp/items", "threads": "2", "conn-limit": "100",
    "max-reqs-per-event": "7", "auth-file": "/tmp/users", "detail-delimiter": "/", "extended": "idle_timeout=50",
    "cache": "name=a,items=10,listen=:1", "cache2": "name=a,items=10,listen=:1", "pidfile": "/tmp/pid",
    "user": "nobody", "slab-growth-factor": "1.08", "slab-min-size": "96", "napi-ids": "2", "protocol": "ascii",
    "log-format": "json", "stats": "1717", "takeover": "/tmp/takeover",
]

/// The options that an option needs beside it on the command line.
private let companions = [
    "enable-sasl": "-Y /tmp/users", "enable-ssl": "-o ssl_chain_cert=c,ssl_key=k",
]

@Suite struct ConfigurationTests {
    private static var options: [Option] { Option.all.filter { !$0.isForCommandLineOnly } }

    /// Each option has the same effect in the file, in the environment and on the command line.
    @Test func everyOptionCanBeGivenInEachWay() throws {
        for option in Self.options {
            let name = try #require(option.longName)
            let beside = companions[name] ?? ""
            let takesValue = if case .required = option.argument { true } else { false }
            let value = takesValue ? values[name] : nil
            #expect(takesValue == (value != nil), "no value for \(name)")
            func look(_ settings: Settings) -> [String] {
                ConfigurationReport.rows(settings).map { "\($0.name): \($0.line ?? $0.absence)" }
            }
            let base = look(try served(parse(beside)))
            let flag = look(try served(parse("--\(name)" + (value.map { "=\($0)" } ?? "") + " " + beside)))
            #expect(flag != base, "\(name) changes nothing that --check-config shows")
            var lines = ["\(name) \(value ?? "")", "--\(name)" + (value.map { "=\($0)" } ?? "")]
            let isLevel = option.argument == .optional
            lines +=
                value.map { ["\(name)=\($0)", "\(name) = \($0)", "  --\(name) \($0)  # why"] }
                ?? [isLevel ? "\(name)=1" : "\(name)=yes"]
            // Debian's script drops -d.
            if option.hasLetter, option.letter != "d" {
                lines.append("-\(option.letter)" + (value.map { " \($0)" } ?? ""))
            }
            for line in lines {
                #expect(try look(served(parse(beside, file: line + "\n"))) == flag, "\(line)")
            }
            let variable = ConfigurationEnvironment.name(of: option)
            #expect(try look(served(parse(beside, [variable: value ?? "1"]))) == flag, "\(variable)")
            if value == nil {
                for off in isLevel ? ["0"] : ["0", "no", "False", "off"] {
                    #expect(try look(served(parse(beside, file: "\(name) \(off)"))) == base, "\(name) \(off)")
                }
            }
        }
    }

    @Test func everyOptionIsShown() {
        #expect(Set(SettingView.all.keys) == Set(Self.options.map { $0.longName ?? "" }))
    }

    @Test func laterSourcesTakePrecedence() throws {
        let file = "memory-limit 128\nthreads 2\nconn-limit 10\ndisable-cas\nverbose 2\n"
        let all = try served(
            parse(
                "-c 30 -v", file: file,
                ["LARDER_THREADS": "3", "LARDER_CONN_LIMIT": "20", "LARDER_DISABLE_CAS": "no", "LARDER_VERBOSE": "3"]))
        #expect(all.memoryLimitBytes == 128 << 20 && all.threadCount == 3 && all.connectionLimit == 30)
        #expect(all.casEnabled && all.verbosity == 1)
        #expect(try served(parse("", file: file, ["LARDER_VERBOSE": "3"])).verbosity == 3)
        #expect(try served(parse("", file: "-v\n-v\n")).verbosity == 2)
        let bitnami = ["MEMCACHED_THREADS": "5", "LARDER_THREADS": "6"]
        #expect(try served(parse("", bitnami)).threadCount == 6)
    }

    @Test func optionsWithSeveralValuesAddUp() throws {
        let all = try served(
            parse(
                "-l c -o login_timeout=5 --uwsgi 3 --cache name=c,items=1,listen=:3",
                file: "listen a\n-l b\nextended idle_timeout=7\nuwsgi 1\ncache name=a,items=1,listen=:1\n",
                [
                    "LARDER_LISTEN": "d\ne", "LARDER_EXTENDED": "size_aware", "LARDER_UWSGI": "2",
                    "LARDER_CACHE": "name=b,items=1,listen=:2",
                ]))
        #expect(all.listenAddresses.map(\.host) == ["a", "b", "d", "e", "c"])
        #expect(all.idleTimeoutSeconds == 7 && all.loginTimeoutSeconds == 5 && all.isSizeAware)
        #expect(all.uwsgiPlaces.count == 3 && all.caches.map(\.name) == ["a", "b", "c"])
    }

    /// `-m 64`, comments, blanks, quotation marks: as Debian's script and a shell have them.
    @Test func linesAreReadAsAShellReadsThem() throws {
        let file = """
            # a comment
              # another

            -m 128 -t 2\t-v # three options
            -s '/tmp/a b' -P "/tmp/c\\"d"
            -l 10.0.0.1#nothing
            auth-file /tmp/\\#1
            user "nobody"\r
            logfile /var/log/memcached.log
            -d
            """
        guard case .serve(let settings, let warnings) = parse(file: file) else {
            Issue.record("not served")
            return
        }
        #expect(settings.memoryLimitBytes == 128 << 20 && settings.threadCount == 2 && settings.verbosity == 1)
        #expect(settings.unixSocketPath == "/tmp/a b" && settings.pidFilePath == "/tmp/c\"d")
        #expect(settings.listenAddresses == [.init(host: "10.0.0.1")])
        #expect(settings.userFilePath == "/tmp/#1" && settings.userName == "nobody")
        #expect(!settings.daemonizes)
        #expect(
            warnings == [
                "f:9: logfile is passed over: the log goes to standard error.",
                "f:10: -d is passed over, as by Debian's script; daemon on a line has its effect.",
            ])
        #expect(try served(parse(file: "daemon\n")).daemonizes)
    }

    @Test(arguments: [
        ("\nthreads 0\n", "f:2: Number of threads must be greater than 0\n"),
        ("-m 64\n-t 0", "f:2: Number of threads must be greater than 0\n"),
        ("memory_limit 64", "f:1: there is no option \"memory_limit\"; larder -h lists all of them.\n"),
        ("memory-limit", "f:1: memory-limit needs a value: MB.\n"),
        ("memory-limit =", "f:1: memory-limit needs a value: MB.\n"),
        ("disable-cas maybe", "f:1: disable-cas takes yes or no, not \"maybe\".\n"),
        ("verbose 4", "f:1: verbose takes a level from 0 to 3, not \"4\".\n"),
        ("-Q", "f:1: invalid option -- 'Q'\n"),
        ("-m", "f:1: option requires an argument -- 'm'\n"),
        ("-m 64 start", "f:1: There is no command and no option \"start\"; larder -h lists all of them.\n"),
        ("-m '64", "f:1: a quotation mark is not closed.\n"),
        ("config other", "f:1: config can be given on the command line only.\n"),
        ("--config=other", "f:1: config can be given on the command line only.\n"),
        ("-V", "f:1: version can be given on the command line only.\n"),
        ("extended nonsense", "f:1: Illegal suboption \"nonsense\"\n"),
        ("threads 2\0", "f:1: the line has a control character.\n"),
        ("user \u{1b}[2J", "f:1: the line has a control character.\n"),
    ])
    func mistakesHaveTheirLine(file: String, message: String) {
        #expect(ending(parse(file: file)) == Ending(text: message, exitCode: 64))
    }

    @Test func filesThatCannotBeRead() {
        #expect(
            ending(parse("--config none"))
                == Ending(text: "none:1: cannot be read: No such file or directory.\n", exitCode: 64))
        let long = String(repeating: "x", count: ConfigurationFile.lineBytesMax + 1)
        #expect(ending(parse(file: "\n" + long))?.text == "f:2: the line is longer than 8192 bytes.\n")
        let large = String(repeating: "\n", count: ConfigurationFile.bytesMax + 1)
        #expect(ending(parse(file: large))?.text == "f:1: the file is longer than 65536 bytes.\n")
        let words = parseCommandLine(
            ["--config", "f"], readFile: { _ in .bytes([0x2d, 0x6c, 0x20, 0xff], isWritableByAll: false) })
        #expect(ending(words)?.text == "f:1: the line is not UTF-8.\n")
    }

    @Test func aFileThatEveryUserMayWriteHasAWarning() {
        let request = parseCommandLine(
            ["--config", "f"], readFile: { _ in .bytes(Array("threads 2".utf8), isWritableByAll: true) })
        guard case .serve(_, let warnings) = request else {
            Issue.record("not served")
            return
        }
        #expect(warnings == ["f: every user of this machine may write this file."])
    }

    /// No bytes of a file end the process.
    @Test func anyBytesAreReadOrRefused() {
        var random = SeededRandom(seed: UInt64.random(in: 0 ... .max))
        print("seed \(random.seed)")
        let pieces = [
            "-", "--", "-m", "-l", " ", "\t", "#", "\\", "\"", "'", "=", "\n", "\r", "64", "listen", "cache",
            "extended",
            "verbose", "disable-cas", "-o", "idle_timeout", ",", "name=a", "\u{e9}", "\0", "99999999999999999999", "*",
        ].map { Array($0.utf8) }
        for _ in 0..<2000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<24, using: &random) {
                bytes +=
                    Bool.random(using: &random)
                    ? pieces.randomElement(using: &random)! : [UInt8.random(in: 0...255, using: &random)]
            }
            let request = parseCommandLine(
                ["--config", "f"], readFile: { [bytes] _ in .bytes(bytes, isWritableByAll: false) })
            if case .end(let ending) = request { #expect(ending.exitCode != 0, "\(bytes)") }
        }
    }

    @Test func helpIsPrintedDespiteAMistakeElsewhere() {
        #expect(ending(parse("-h", file: "nonsense", ["LARDER_THREADS": "0"]))?.exitCode == 0)
    }

    // MARK: The environment

    @Test func variablesOfKubernetesAndEmptyOnesAreNoSettings() throws {
        let variables = [
            "LARDER_PORT": "tcp://10.0.0.9:11211", "LARDER_UDP_PORT": "udp://10.0.0.9:1", "LARDER_THREADS": "",
            "LARDER_SERVICE_HOST": "10.0.0.9", "LARDER_VERSION": "7", "LARDER_HELP": "1",
        ]
        #expect(try served(parse("", variables)).tcpPort == 11211)
    }

    @Test(arguments: [
        (["LARDER_THREADS": "0"], "LARDER_THREADS: Number of threads must be greater than 0\n"),
        (
            ["LARDER_PORT": "http"],
            "LARDER_PORT: -p takes a port number, 0 for none or -1 for any free one, not \"http\".\n"
        ),
        (["LARDER_DAEMON": "perhaps"], "LARDER_DAEMON: daemon takes yes or no, not \"perhaps\".\n"),
        (["LARDER_USER": "a\u{1b}"], "LARDER_USER: the value has a control character.\n"),
        (["LARDER_CONFIG": "none"], "none:1: cannot be read: No such file or directory.\n"),
        (
            ["MEMCACHED_CACHE_SIZE": "x"],
            "MEMCACHED_CACHE_SIZE: -m takes the memory for items in megabytes, such as 64, or auto, not \"x\".\n"
        ),
        (["MEMCACHED_EXTRA_FLAGS": "-t 0"], "MEMCACHED_EXTRA_FLAGS: Number of threads must be greater than 0\n"),
        (
            ["MEMCACHED_PASSWORD_FILE": "none"],
            "MEMCACHED_PASSWORD_FILE: none cannot be read: No such file or directory.\n"
        ),
        (
            ["MEMCACHED_USERNAME": "a:b", "MEMCACHED_PASSWORD": "x"],
            "MEMCACHED_USERNAME: the name takes at most 255 bytes, without a colon.\n"
        ),
        (["MEMCACHED_PASSWORD": "a\nb"], "MEMCACHED_PASSWORD: the password takes at most 255 bytes, in one line.\n"),
    ])
    func mistakesHaveTheirVariable(variables: [String: String], message: String) {
        #expect(ending(parse("", variables)) == Ending(text: message, exitCode: 64))
    }

    @Test func bitnamisVariables() throws {
        let variables = [
            "LISTEN_ADDRESS": "10.0.0.1", "PORT_NUMBER": "12000", "CACHE_SIZE": "128", "MAX_CONNECTIONS": "10",
            "THREADS": "2", "MAX_ITEM_SIZE": "2097152", "EXTRA_FLAGS": "-vv  -o idle_timeout=5", "USERNAME": "web",
            "PASSWORD": "a secret",
        ]
        func check(_ request: CommandLineRequest) throws {
            let read = try served(request)
            #expect(read.listenAddresses == [.init(host: "10.0.0.1")] && read.tcpPort == 12000)
            #expect(read.memoryLimitBytes == 128 << 20 && read.connectionLimit == 10 && read.threadCount == 2)
            #expect(read.maxItemSizeBytes == 2 << 20 && read.verbosity == 2 && read.idleTimeoutSeconds == 5)
            #expect(read.saslEnabled && read.bindingProtocol == .binary && read.userEntry == "web:a secret")
        }
        var plain: [String: String] = [:]
        var named: [String: String] = [:]
        var files: [String: String] = [:]
        for (name, value) in variables {
            plain["MEMCACHED_" + name] = value
            // The value in the file takes precedence over the variable.
            named["MEMCACHED_" + name] = "nonsense"
            named["MEMCACHED_\(name)_FILE"] = "/run/\(name)"
            files["/run/\(name)"] = value + "\n"
        }
        try check(parse("", plain))
        try check(parse("", named, files: files))
        #expect(try served(parse("", ["MEMCACHED_PASSWORD": "x"])).userEntry == "root:x")
        #expect(try served(parse("", ["MEMCACHED_USERNAME": "web"])).saslEnabled == false)
        guard case .serve(_, let warnings) = parse("", ["MEMCACHED_MAX_TIMEOUT": "5"]) else {
            Issue.record("not served")
            return
        }
        #expect(warnings == ["MEMCACHED_MAX_TIMEOUT is passed over: Larder ends within five seconds of the signal."])
    }

    // MARK: --check-config

    @Test func theCheckPrintsEverySettingWithItsSource() throws {
        let printed = try #require(
            ending(
                parse(
                    "--check-config -c 10",
                    file: "\nmemory-limit 128\nlisten 10.0.0.1\nlisten 10.0.0.2\nauth-file /a\\#b\n",
                    ["LARDER_THREADS": "2", "LARDER_EXTENDED": "idle_timeout=5,size_aware"])))
        #expect(printed.exitCode == 0)
        for line in [
            "memory-limit 128                        # f:2", "listen 10.0.0.1                         # f:3",
            "listen 10.0.0.2                         # f:4", "auth-file /a\\#b                         # f:5",
            "threads 2                               # LARDER_THREADS",
            "conn-limit 10                           # command line",
            "extended idle_timeout=5                 # LARDER_EXTENDED",
            "extended size_aware                     # LARDER_EXTENDED",
            "extended login_timeout=10               # default", "port 11211                              # default",
            "# disable-cas                           # default: off",
            "# pidfile                               # default: none",
            "protocol ascii                          # follows from other settings",
        ] {
            #expect(printed.text.split(separator: "\n").contains(Substring(line)), "\(line)")
        }
        for option in Self.options {
            let name = try #require(option.longName)
            if case .alias? = SettingView.all[name] { continue }
            #expect(printed.text.contains("\n\(name) ") || printed.text.contains("\n# \(name) "), "\(name)")
        }
    }

    /// The lines of the check are a file with the same settings.
    @Test func theCheckIsAFile() throws {
        for options in Self.options {
            let name = try #require(options.longName)
            let takesValue = if case .required = options.argument { true } else { false }
            let line = "--\(name)" + (takesValue ? "=" + (values[name] ?? "") : "") + " " + (companions[name] ?? "")
            let first = try served(parse(line))
            let report = ConfigurationReport.text(first, warnings: [])
            let second = try served(parse(file: report))
            #expect(
                ConfigurationReport.rows(second).map { $0.line ?? $0.name }
                    == ConfigurationReport.rows(first).map { $0.line ?? $0.name }, "\(line)")
        }
    }

    @Test func theCheckPrintsNoPassword() throws {
        let printed = try #require(ending(parse("--check-config", ["MEMCACHED_PASSWORD": "geheim"])))
        #expect(printed.exitCode == 0 && !printed.text.contains("geheim"))
        #expect(printed.text.contains("enable-sasl                             # MEMCACHED_PASSWORD\n"))
    }

    @Test func theCheckRefusesWhatTheStartRefuses() {
        #expect(ending(parse("--check-config", file: "threads 0"))?.exitCode == 64)
        #expect(ending(parse("--check-config", file: "max-item-size 40m"))?.exitCode == 64)
    }

    @Test func theStartLogsSettingsThatAreNotTheDefault() throws {
        #expect(ConfigurationReport.summary(try served(parse())) == nil)
        let given = try served(parse("-t 2 -m 64 -o size_aware", file: "listen a\n", ["LARDER_DISABLE_CAS": "1"]))
        #expect(
            ConfigurationReport.summary(given)
                == "listen a (f:1), threads 2 (command line), disable-cas (LARDER_DISABLE_CAS), "
                + "extended size_aware (command line)")
    }

    @Test func changesHaveTheNameOfTheSetting() throws {
        let old = try served(parse(file: "threads 2\nextended idle_timeout=5\nlisten a\ndisable-cas\n"))
        let new = try served(parse(file: "threads 3\nextended login_timeout=4\nlisten a\nlisten b\nverbose\n"))
        #expect(SettingChange.all(from: old, to: old).isEmpty)
        #expect(
            Set(SettingChange.all(from: old, to: new).map { "\($0.name): \($0.before) > \($0.after)" })
                == [
                    "threads: 2 > 3", "extended idle_timeout: 5 > 0", "extended login_timeout: 10 > 4",
                    "listen: a > a b", "disable-cas: on > off", "verbose: 0 > 1",
                ])
    }
}
