import Testing

@testable import LarderServer

/// Command lines as one string, split at blanks; `''` stands for an empty word.
private func parse(_ line: String) -> CommandLineRequest {
    parseCommandLine(line.split(separator: " ").map { $0 == "''" ? "" : String($0) })
}

private func served(_ line: String) -> Settings? {
    guard case .serve(let settings, _) = parse(line) else { return nil }
    return settings
}

private func ended(_ line: String) -> Ending? {
    guard case .end(let ending) = parse(line) else { return nil }
    return ending
}

private func warnings(_ line: String) -> [String]? {
    guard case .serve(_, let warnings) = parse(line) else { return nil }
    return warnings
}

@Suite struct OptionParserTests {
    struct Accepted: CustomTestStringConvertible, Sendable {
        var line: String
        var holds: @Sendable (Settings) -> Bool
        var testDescription: String { line }

        init(_ line: String, _ holds: @escaping @Sendable (Settings) -> Bool) {
            self.line = line
            self.holds = holds
        }
    }

    @Test(arguments: [
        Accepted("") { $0.tcpPort == 11211 && $0.listenAddresses.isEmpty && $0.memoryLimitBytes == 64 << 20 },
        Accepted("-p 12000") { $0.tcpPort == 12000 },
        Accepted("-p12000") { $0.tcpPort == 12000 },
        Accepted("--port=12000") { $0.tcpPort == 12000 },
        Accepted("--port 12000") { $0.tcpPort == 12000 },
        Accepted("--por 12000") { $0.tcpPort == 12000 },
        Accepted("-p -1") { $0.tcpPort == -1 },
        Accepted("-p 0 -s /tmp/l.sock") { $0.tcpPort == 0 && $0.unixSocketPath == "/tmp/l.sock" },
        Accepted("-s /tmp/l.sock -a 0770") { $0.unixSocketMask == 0o770 },
        Accepted("-b 5 -U 0") { $0.listenBacklog == 5 },
        Accepted("-m 1024") { $0.memoryLimitBytes == 1 << 30 },
        Accepted("-m 512m") { $0.memoryLimitBytes == 512 << 20 },
        Accepted("-m 2G") { $0.memoryLimitBytes == 2 << 30 },
        Accepted("-I 2m") { $0.maxItemSizeBytes == 2 << 20 },
        Accepted("-I 512K") { $0.maxItemSizeBytes == 512 << 10 },
        Accepted("-I 1024") { $0.maxItemSizeBytes == 1024 },
        Accepted("-I 1g -m 2048") { $0.maxItemSizeBytes == 1 << 30 },
        Accepted("-I 32m") { $0.maxItemSizeBytes == 32 << 20 },
        Accepted("-L") { $0.hugePages == .required },
        Accepted("-I 1500k") { $0.maxItemSizeBytes == 1_536_000 },
        Accepted("-I 1024 -o slab_chunk_max=1") { $0.maxItemSizeBytes == 1024 },
        Accepted("-I 512k -o slab_chunk_max=16") { $0.slabChunkMaxBytes == 16 << 10 },
        Accepted("-o relaxed_privileges") { $0.allowsDebugging },
        Accepted("-o no_lru_crawler,no_lru_maintainer,no_slab_reassign") {
            !$0.crawlerIsEnabled && !$0.showsMaintainer && !$0.showsSlabMover
        },
        Accepted("-o no_modern,lru_crawler") { $0.crawlerIsEnabled && !$0.showsMaintainer },
        Accepted("-M -k") { !$0.evictions && $0.locksMemory },
        Accepted("-t 2 -c 10 -R 7") {
            $0.threadCount == 2 && $0.connectionLimit == 10 && $0.requestsPerEventMax == 7
        },
        Accepted("-A -C -F -X -W") {
            $0.shutdownCommandEnabled && !$0.casEnabled && !$0.flushEnabled && !$0.dumpEnabled
                && !$0.watchEnabled
        },
        Accepted("-ACFXW") { $0.shutdownCommandEnabled && !$0.watchEnabled },
        Accepted("-D /") { $0.prefixDelimiter == UInt8(ascii: "/") && $0.detailEnabled },
        Accepted("-v") { $0.verbosity == 1 },
        Accepted("-vvv") { $0.verbosity == 3 },
        Accepted("-vv --verbose --verbose=1") { $0.verbosity == 4 },
        Accepted("-d -P /run/l.pid -u nobody -r") {
            $0.daemonizes && $0.pidFilePath == "/run/l.pid" && $0.userName == "nobody" && $0.raisesCoreLimit
        },
        Accepted("-f 1.08 -n 96") { $0.growthFactor == 1.08 && $0.chunkSizeBytes == 96 },
        Accepted("larder -m 128") { $0.memoryLimitBytes == 128 << 20 },
        Accepted("memcached -m 128") { $0.memoryLimitBytes == 128 << 20 },
        Accepted("--conn-limit=1024 --memory-limit=64 --threads=4") { $0.threadCount == 4 },
        // Larder's own long names take no abbreviation from memcached's.
        Accepted("--c 7") { $0.connectionLimit == 7 },
        Accepted("-vm64 --") { $0.verbosity == 1 && $0.memoryLimitBytes == 64 << 20 },
    ])
    func accepts(_ row: Accepted) throws {
        let settings = try #require(served(row.line))
        #expect(row.holds(settings))
    }

    @Test func blanksBeforeAValueAreSkipped() throws {
        guard case .serve(let settings, _) = parseCommandLine(["-t", "  3", "-l", " 127.0.0.1"]) else {
            Issue.record("not accepted")
            return
        }
        #expect(settings.threadCount == 3)
        #expect(settings.listenAddresses == [.init(host: "127.0.0.1")])
    }

    @Test(arguments: [
        ("-l 127.0.0.1", [Settings.ListenAddress(host: "127.0.0.1")]),
        ("-l *", [.init(host: "*")]),
        (
            "-l a,b:1;[::1]:2,::1,[fe80::2]",
            [
                .init(host: "a"), .init(host: "b", port: 1), .init(host: "::1", port: 2), .init(host: "::1"),
                .init(host: "fe80::2"),
            ]
        ),
        ("-l a -l b -l a", [.init(host: "a"), .init(host: "b")]),
        ("-l proto[ascii]:tag[one]:a:1", [.init(host: "a", port: 1, bindingProtocol: .ascii)]),
        ("-l proto[binary]:a", [.init(host: "a", bindingProtocol: .binary)]),
        ("-l proto[negotiating]:[::1]:5", [.init(host: "::1", port: 5, bindingProtocol: .negotiating)]),
        ("-l tag_one_:a", [.init(host: "a")]),
        ("-l a:-1", [.init(host: "a", port: -1)]),
    ])
    func listens(line: String, addresses: [Settings.ListenAddress]) throws {
        #expect(try #require(served(line)).listenAddresses == addresses)
    }

    @Test func protocolFollowsTheWayIn() throws {
        #expect(try #require(served("")).bindingProtocol == .negotiating)
        #expect(try #require(served("-B binary")).bindingProtocol == .binary)
        #expect(try #require(served("-Y f")).bindingProtocol == .ascii)
        #expect(try #require(served("-Y f -S -B binary")).bindingProtocol == .binary)
        #expect(try #require(served("-S -Y f")).saslEnabled)
    }

    @Test func interfacesAreKeptAsGiven() throws {
        #expect(try #require(served("-l a;b -l c")).interfaces == "a;b,c")
        #expect(try #require(served("")).interfaces == nil)
    }

    /// memcached's own sentences and exit codes, checked against memcached 1.6.18.
    @Test(arguments: [
        ("-c 0", "Maximum connections must be greater than 0", 1),
        ("-c -5", "Maximum connections must be greater than 0", 1),
        ("-t 0", "Number of threads must be greater than 0", 1),
        ("-t abc", "Number of threads must be greater than 0", 1),
        ("-R 0", "Number of requests per event must be greater than 0", 1),
        ("-f 1", "Factor must be greater than 1", 1),
        ("-f x", "Factor must be greater than 1", 1),
        ("-n 0", "Chunk size must be greater than 0", 1),
        ("-N x", "Maximum number of NAPI IDs must be greater than 0", 1),
        ("-N 9", "Number of napi_ids(9) cannot be greater than number of threads(4)", 64),
        ("-D ''", "No delimiter specified", 1),
        ("-I 512", "Item max size cannot be less than 1024 bytes.", 64),
        ("-I abc", "Item max size cannot be less than 1024 bytes.", 64),
        ("-I 40m", "Cannot set item size limit higher than 1/2 of memory max.", 64),
        ("-I 2g -m 8192", "Cannot set item size limit higher than a gigabyte.", 64),
        ("-o hot_lru_pct=50,warm_lru_pct=50", "hot_lru_pct + warm_lru_pct cannot be more than 80% combined", 64),
        ("-o temporary_ttl=30,no_lru_maintainer", "temporary_ttl requires lru_maintainer to be enabled", 64),
        (
            "-I 1024 -o slab_chunk_max=512",
            "slab_chunk_max (bytes: 524288) cannot be larger than -I (item_size_max 1024)", 64
        ),
        (
            "-o slab_chunk_max=300",
            "-I (item_size_max: 1048576) must be evenly divisible by slab_chunk_max (bytes: 307200)", 64
        ),
        (
            "-I 3m -o slab_chunk_max=768",
            "slab_chunk_max (bytes: 786432) must divide evenly into 1048576 (slab_page_size)", 64
        ),
        ("-o slab_sizes=5-6", "slab size 5 is out of valid range", 64),
        ("-o slab_sizes=100-99", "slab size 99 cannot be lower than or equal to a previous class size", 64),
        ("-o slab_sizes=100-107", "slab size 107 must be at least 8 bytes larger than previous class", 64),
        ("-m 0", "Cannot set item size limit higher than 1/2 of memory max.", 64),
        ("-m 999999999", "-m takes at most 262144 megabytes, not 999999999.", 64),
        ("-p 70000", "ERROR: Invalid port number 70000.", 64),
        ("-B x", "Invalid value for binding protocol: x\n -- should be one of auto, binary, or ascii", 64),
        ("-S -Y f -B ascii", "ERROR: You cannot allow the ASCII protocol while using SASL.", 64),
        ("-S -Y f -B auto", "ERROR: You cannot allow the ASCII protocol while using SASL.", 64),
        (
            "-Y f -B binary",
            "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.", 64
        ),
        ("-l a:x", "Invalid port number: \"x\"", 71),
        ("-l notls:a", "'notls' option is valid only when SSL is enabled", 71),
        ("-U 70000", "ERROR: Invalid port number 70000.", 64),
        ("-S -Y f -U 1", "ERROR: Cannot enable UDP while using binary SASL authentication.", 64),
        ("-Y f -U 1", "Cannot use UDP with ascii authentication enabled (-U 0 to disable)", 64),
        ("-p 0 -Z", "ERROR: You cannot enable SSL without a TCP port.", 64),
        ("-l [::1", "Invalid IPV6 address: \"[::1\"", 71),
        ("-l tag[123456789]:a", "Listener tags must be between 1 and 8 characters: \"123456789\"", 71),
        ("-Q", "larder: invalid option -- 'Q'\nIllegal argument \"?\"", 1),
        ("--nope", "larder: unrecognized option '--nope'\nIllegal argument \"?\"", 1),
        ("-p", "larder: option requires an argument -- 'p'\nIllegal argument \"?\"", 1),
        ("-vp", "larder: option requires an argument -- 'p'\nIllegal argument \"?\"", 1),
        ("--por", "larder: option '--port' requires an argument\nIllegal argument \"?\"", 1),
        ("--daemon=1", "larder: option '--daemon' doesn't allow an argument\nIllegal argument \"?\"", 1),
        (
            "--p=1",
            "larder: option '--p=1' is ambiguous; possibilities: '--port' '--pidfile' '--protocol'\n"
                + "Illegal argument \"?\"", 1
        ),
    ])
    func refusesAsMemcached(line: String, message: String, code: Int32) throws {
        // memcached says no more; here one line follows with what helps.
        let help =
            if line == "-I 40m" {
                "-I is 41943040 bytes, and half of -m 64 is 33554432.\n"
            } else if line == "-m 0" {
                "-I is 1048576 bytes, and half of -m 0 is 0.\n"
            } else {
                message.hasSuffix("Illegal argument \"?\"") ? "larder -h lists all options.\n" : ""
            }
        #expect(try #require(ended(line)) == Ending(text: message + "\n" + help, exitCode: code))
    }

    /// What memcached takes in silence, or has and Larder has not: a sentence that names the option.
    @Test(arguments: [
        ("-p abc", "-p"), ("-p 12x", "-p"), ("-p ''", "-p"), ("-t 4x", "-t"), ("-c 1e3", "-c"),
        ("-c 99999999999", "-c"), ("-m abc", "-m"), ("-m ''", "-m"), ("-m 99999999999999999999", "-m"),
        ("-I 2000x", "-I"), ("-a zz", "-a"), ("-a 1777", "-a"), ("-b -1", "-b"), ("-l ''", "-l"),
        ("-l ,", "-l"), ("-s ''", "-s"), ("-P ''", "-P"), ("-u ''", "-u"),
        ("-U abc", "-U"),
        ("-e ''", "-e"), ("--store=", "--store"),
        ("-o proxy_config=x", "proxy"), ("-o idle_timeout=5x", "idle_timeout"),
        ("start", "\"start\""), ("-m 64 m", "\"m\""), ("-v -- -d", "\"-d\""), ("''", "\"\""),
    ])
    func refusesInOneSentence(line: String, names: String) throws {
        let ending = try #require(ended(line))
        #expect(ending.exitCode == 64)
        #expect(ending.text.contains(names))
        #expect(ending.text.filter { $0 == "\n" }.count == 1)
    }

    @Test(arguments: ["-f 1.1", "-n 96", "-f 1.1 -n 96", "-N 2", "-t 65", "-p 0"])
    func warnsOnceForEachOptionThatIsIgnored(line: String) throws {
        let count = line == "-f 1.1 -n 96" ? 2 : 1
        #expect(try #require(warnings(line)).count == count)
    }

    @Test(arguments: ["", "-B ascii", "-B auto", "-B binary", "-U 0", "-v", "-m 64 -c 1024 -t 4", "-k", "-t 64"])
    func hasNoWordForWhatItDoes(line: String) {
        #expect(warnings(line) == [])
    }

    @Test func printsAndLeaves() {
        #expect(ended("-V") == Ending(text: "memcached 1.6.45 (Larder 0.1.0)\n", exitCode: 0))
        #expect(ended("-h") == Ending(text: Help.text, exitCode: 0))
        #expect(ended("--help") == ended("help"))
        #expect(ended("version") == ended("--version"))
        #expect(ended("-i")?.exitCode == 0)
        // What stands before decides, what stands behind is not looked at.
        #expect(ended("-h -t 0")?.exitCode == 0)
        #expect(ended("-t 0 -h")?.exitCode == 1)
    }

    /// The 36 long names of memcached 1.6.45, with their letters and whether they take an argument.
    @Test func hasEveryOptionOfMemcached() {
        let memcached = """
            a: unix-mask A enable-shutdown Z enable-ssl p: port s: unix-socket U: udp-port m: memory-limit
            M disable-evictions c: conn-limit k lock-memory h help i license V version r enable-coredumps
            d daemon l: listen u: user P: pidfile f: slab-growth-factor n: slab-min-size t: threads
            L enable-largepages R: max-reqs-per-event C disable-cas b: listen-backlog B: protocol
            I: max-item-size S enable-sasl F disable-flush-all X disable-dumping W disable-watch
            Y: auth-file e: memory-file o: extended N: napi-ids v verbose
            """
        let words = memcached.split { $0 == " " || $0 == "\n" }.map(String.init)
        let expected = stride(from: 0, to: words.count, by: 2).map { words[$0] + " " + words[$0 + 1] }
        let ours = Option.all.filter(\.hasMemcachedName).compactMap { option -> String? in
            guard let longName = option.longName else { return nil }
            if case .required = option.argument { return "\(option.letter): \(longName)" }
            return "\(option.letter) \(longName)"
        }
        #expect(expected.count == 36)
        #expect(ours.sorted() == expected.sorted())
        #expect(Set(Option.all.map(\.letter)).count == Option.all.count)
    }

    @Test func helpFitsAndNamesEverything() {
        for line in (Help.text + Help.ping + Help.license).split(separator: "\n") {
            #expect(line.count <= Help.columnsMax, "\(line)")
        }
        for option in Option.all {
            let name = option.hasLetter ? "  -\(option.letter)" : "      --\(option.longName ?? "")"
            #expect(Help.text.contains(name))
        }
    }
}
