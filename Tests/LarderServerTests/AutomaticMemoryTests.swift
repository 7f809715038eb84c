import Testing

@testable import LarderServer

/// The files of a system; a file that is not among them cannot be read.
private func reader(_ files: [String: String]) -> (String) -> ConfigurationContents {
    { path in
        files[path].map { .bytes(Array($0.utf8), isWritableByAll: false) } ?? .failed("No such file or directory")
    }
}

private let memory = ["/proc/meminfo": "MemTotal:       8388608 kB\nMemFree:        100 kB\n"]

private let unifiedMount = "41 31 0:38 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n"
private let hybridMounts = """
    31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
    32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
    35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
    41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw

    """

@Suite struct MemoryLimitsTests {
    struct System: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var files: [String: String]
        var path: String?
        var megabytes = 0
    }

    private static let unified = [
        "/proc/self/cgroup": "0::/system.slice/larder.service\n", "/proc/self/mountinfo": unifiedMount,
    ]

    static let systems = [
        System(
            testDescription: "own cgroup",
            files: unified.merging(["/sys/fs/cgroup/system.slice/larder.service/memory.max": "134217728\n"]) { $1 },
            path: "/sys/fs/cgroup/system.slice/larder.service/memory.max", megabytes: 128),
        System(
            testDescription: "lower limit above",
            files: unified.merging([
                "/sys/fs/cgroup/system.slice/larder.service/memory.max": "134217728\n",
                "/sys/fs/cgroup/system.slice/memory.max": "67108864\n",
            ]) { $1 }, path: "/sys/fs/cgroup/system.slice/memory.max", megabytes: 64),
        System(
            testDescription: "limit of slowing down",
            files: unified.merging([
                "/sys/fs/cgroup/system.slice/larder.service/memory.max": "max\n",
                "/sys/fs/cgroup/system.slice/larder.service/memory.high": "209715200\n",
            ]) { $1 }, path: "/sys/fs/cgroup/system.slice/larder.service/memory.high", megabytes: 200),
        System(
            testDescription: "no limit",
            files: unified.merging(["/sys/fs/cgroup/system.slice/larder.service/memory.max": "max\n"]) { $1 }),
        System(
            testDescription: "container with a namespace",
            files: [
                "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": unifiedMount,
                "/sys/fs/cgroup/memory.max": "134217728\n",
            ], path: "/sys/fs/cgroup/memory.max", megabytes: 128),
        System(
            testDescription: "container that sees its own cgroup only",
            files: [
                "/proc/self/cgroup": "5:memory:/docker/abc\n0::/\n",
                "/proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
            ], path: "/sys/fs/cgroup/memory/memory.limit_in_bytes", megabytes: 128),
        System(
            testDescription: "cgroup whose name begins as that of the place",
            files: [
                "/proc/self/cgroup": "5:memory:/docker/abcd\n",
                "/proc/self/mountinfo": "35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                "/sys/fs/cgroup/memory/d/memory.limit_in_bytes": "1048576\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "134217728\n",
            ], path: "/sys/fs/cgroup/memory/memory.limit_in_bytes", megabytes: 128),
        System(
            testDescription: "cgroup outside of the namespace",
            files: [
                "/proc/self/cgroup": "0::/../other\n", "/proc/self/mountinfo": unifiedMount,
                "/sys/fs/cgroup/memory.max": "134217728\n", "/sys/fs/cgroup/../other/memory.max": "1048576\n",
            ], path: "/sys/fs/cgroup/memory.max", megabytes: 128),
        System(
            testDescription: "both versions",
            files: [
                "/proc/self/cgroup": "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/\n",
                "/proc/self/mountinfo": hybridMounts,
                "/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
                "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "134217728\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            ], path: "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", megabytes: 128),
        System(
            testDescription: "no table of mounts",
            files: ["/proc/self/cgroup": "0::/a\n", "/sys/fs/cgroup/a/memory.max": "134217728\n"],
            path: "/sys/fs/cgroup/a/memory.max", megabytes: 128),
        System(
            testDescription: "contents that make no sense",
            files: [
                "/proc/self/cgroup": "0\n::\n0::\n1:memory\n",
                "/proc/self/mountinfo": "- - - -\n1 2 3 4 5 6 - cgroup2\n",
                "/sys/fs/cgroup/memory.max": "-5\n",
            ]),
        System(testDescription: "no files", files: [:]),
    ]

    @Test(arguments: systems) func ofCgroups(system: System) {
        let limit = MemoryLimits(readFile: reader(system.files)).ofCgroups
        #expect(limit?.path == system.path)
        #expect((limit?.bytes ?? 0) >> 20 == system.megabytes)
    }

    @Test func theMachineHasALimit() {
        let system = Self.systems[0].files.merging(memory) { $1 }
        #expect(MemoryLimits(readFile: reader(memory)).lowest?.bytes == 8 << 30)
        #expect(MemoryLimits(readFile: reader(memory)).lowest?.isOfCgroup == false)
        #expect(MemoryLimits(readFile: reader(system)).lowest?.bytes == 128 << 20)
        #expect(MemoryLimits(readFile: reader(system)).lowest?.isOfCgroup == true)
        for text in ["", "MemTotal:\n", "MemTotal: x kB\n", "MemTotal: 9223372036854775807 kB\n", "MemTotal: 5 MB\n"] {
            #expect(MemoryLimits(readFile: reader(["/proc/meminfo": text])).lowest == nil, "\(text)")
        }
    }
}

@Suite struct AutomaticMemoryTests {
    private static func cgroup(_ megabytes: Int) -> [String: String] {
        memory.merging([
            "/proc/self/cgroup": "0::/\n", "/proc/self/mountinfo": unifiedMount,
            "/sys/fs/cgroup/memory.max": "\(megabytes << 20)\n",
        ]) { $1 }
    }

    private static func parse(
        _ line: String, _ files: [String: String], _ variables: [String: String] = [:]
    ) -> CommandLineRequest {
        parseCommandLine(
            line.split(separator: " ").map(String.init), environment: { variables[$0] }, readFile: reader(files))
    }

    private static func megabytes(_ request: CommandLineRequest) -> Int? {
        guard case .serve(let settings, _) = request else { return nil }
        return settings.memoryLimitBytes >> 20
    }

    private static func text(_ request: CommandLineRequest) -> String {
        switch request {
        case .end(let ending): ending.text
        case .serve(let settings, let warnings):
            warnings.joined(separator: "\n") + (settings.automaticMemory?.text ?? "")
        default: ""
        }
    }

    /// docs/operations.md has these figures.
    @Test(arguments: [
        ("", 128, 57), ("", 1024, 755), ("", 4096, 3767), ("-t 1", 64, 26), ("-I 8m", 1024, 700),
        ("-c 100000", 1024, 708), ("-Z -o ssl_chain_cert=c,ssl_key=k", 128, 38), ("-D :", 128, 38),
    ])
    func limitOfACgroup(options: String, limit: Int, megabytes: Int) {
        #expect(Self.megabytes(Self.parse("-m auto \(options)", Self.cgroup(limit))) == megabytes)
    }

    @Test func theLogHasTheSum() {
        let text = Self.text(Self.parse("-m auto", Self.cgroup(128)))
        #expect(
            text == """
                -m auto is 57 MB: 128 MB of /sys/fs/cgroup/memory.max, less 16 for the kernel's buffers of sockets, \
                20 for unread answers, 20 for requests that are sent in part, 4 for a spare buffer, 1 for 1024 clients, \
                8 for the program, and 2 % for tables
                """)
        #expect(Self.text(Self.parse("-m auto", memory)).contains("1024 for the system and other programs"))
    }

    @Test func everyWayToGiveIt() {
        let files = Self.cgroup(128)
        for (line, variables, file) in [
            ("-m auto", [:], nil), ("-mauto", [:], nil), ("--memory-limit=auto", [:], nil),
            ("-m 64 -m auto", [:], nil), ("", ["LARDER_MEMORY_LIMIT": "auto"], nil),
            ("", ["MEMCACHED_CACHE_SIZE": "auto"], nil), ("", [:], "memory-limit=auto\n"),
            ("", [:], "memory-limit auto\n"), ("", [:], "-m auto\n"),
        ] as [(String, [String: String], String?)] {
            let all = file.map { files.merging(["f": $0]) { $1 } } ?? files
            let request = Self.parse((file == nil ? "" : "--config f ") + line, all, variables)
            #expect(Self.megabytes(request) == 57, "\(line) \(variables) \(file ?? "")")
        }
        #expect(Self.megabytes(Self.parse("-m 20", files, ["LARDER_MEMORY_LIMIT": "auto"])) == 20)
    }

    @Test func namedCachesHaveMemoryOfTheirOwn() throws {
        let caches = "--cache name=a,items=1000,blocksize=10000,listen=:1"
        let with = try #require(Self.megabytes(Self.parse("-m auto \(caches)", Self.cgroup(1024))))
        let without = try #require(Self.megabytes(Self.parse("-m auto", Self.cgroup(1024))))
        // The values alone need 10 MB.
        #expect(with < without - 10)
        #expect(Self.text(Self.parse("-m auto \(caches)", Self.cgroup(1024))).contains(" for cache a,"))
    }

    @Test func clientsHoldLessWhereThereIsLess() throws {
        for (options, limit, most) in [("", 128, 16), ("", 4096, 64), ("-I 10m", 128, 20)] {
            let sum = AutomaticMemory(
                try #require(MemoryLimits(readFile: reader(Self.cgroup(limit))).lowest),
                try #require(Self.settings(Self.parse("-m 64 \(options)", [:]))))
            #expect(sum.clientBytesMax == most << 20)
        }
    }

    private static func settings(_ request: CommandLineRequest) -> Settings? {
        guard case .serve(let settings, _) = request else { return nil }
        return settings
    }

    @Test func refusals() {
        let few = Self.text(Self.parse("-m auto", Self.cgroup(32)))
        #expect(few.hasPrefix("-m auto is ") && few.contains("32 MB of /sys/fs/cgroup/memory.max"))
        #expect(
            few.hasSuffix("That is too little; fewer threads (-t) or a smaller -I need less, or give -m a number.\n"))
        #expect(
            Self.text(Self.parse("-m auto", [:]))
                == "-m auto: neither /proc/meminfo nor a cgroup has the amount of memory; give -m a number.\n")
        #expect(Self.text(Self.parse("-m automatic", [:])).contains("or auto, not \"automatic\""))
    }

    @Test(arguments: [("-m 128", 128, true), ("-m 1024", 128, true), ("-m 100", 128, false), ("", 64, true)])
    func aNumberThatIsTooHigh(options: String, limit: Int, isWarned: Bool) {
        let text = Self.text(Self.parse(options, Self.cgroup(limit)))
        #expect(text.contains("and the limit is \(limit) MB (/sys/fs/cgroup/memory.max)") == isWarned, "\(text)")
        #expect(Self.text(Self.parse(options, memory)).isEmpty)
    }

    @Test func theCheckShowsIt() {
        let text = Self.text(Self.parse("-m auto --check-config", Self.cgroup(128)))
        #expect(text.contains("# -m auto is 57 MB: "))
        #expect(text.contains("memory-limit 57                         # command line, auto\n"))
    }
}
