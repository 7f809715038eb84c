import Testing

@testable import LoadGenerator

struct OptionParserTests {
    private func parse(_ words: String) throws -> Options {
        guard case .run(let options) = try OptionParser.parse(words.split(separator: " ").map(String.init))
        else { throw OptionError(message: "not a run") }
        return options
    }

    @Test func memtiersDefaults() throws {
        let options = try parse("")
        #expect(options.host == "localhost" && options.port == "11211")
        #expect(options.threads == 1 && options.connections == 50)
        #expect(options.requests == .number(10_000) && options.seconds == nil)
        #expect(options.setRatio == 1 && options.getRatio == 10)
        #expect(options.dataSize == 32...32 && options.expiry == nil)
        #expect(options.keys == 0...10_000_000 && options.keyPrefix == "memtier-")
        #expect(options.verify && options.distinctClientSeed)
    }

    @Test func everySpellingOfAnOption() throws {
        for words in [
            "-p 1 -t 2 -c 3", "-p1 -t2 -c3", "--port 1 --threads 2 --clients 3", "--port=1 -t2 -c 3",
        ] {
            let options = try parse(words)
            #expect(options.port == "1" && options.threads == 2 && options.connections == 3)
        }
    }

    @Test func everyOption() throws {
        let options = try parse(
            """
            -s host -S /tmp/x -n allkeys --ratio 2:3 --pipeline 4 --multi-key-get 5 --data-size-range 6-7 \
            --key-prefix k: --key-minimum 100 --key-maximum 200 --key-pattern P:Z --key-zipf-exp 0.9 \
            --expiry-range 8-9 --seed 10 --no-distinct-client-seed --json-out-file out.json --hide-histogram \
            --no-verify --preload --progress -P memcache_text -R
            """)
        #expect(options.host == "host" && options.unixSocket == "/tmp/x" && options.requests == .allKeys)
        #expect(options.setRatio == 2 && options.getRatio == 3)
        #expect(options.pipeline == 4 && options.keysPerGet == 5 && options.dataSize == 6...7)
        #expect(options.keyPrefix == "k:" && options.keys == 100...200)
        #expect(options.setPattern == .parallel && options.getPattern == .zipf && options.zipfExponent == 0.9)
        #expect(options.expiry == 8...9 && options.seed == 10 && !options.distinctClientSeed)
        #expect(options.jsonFile == "out.json" && options.hideHistogram && !options.verify)
        #expect(options.preload && options.progress)
        let more = try parse(
            """
            -P memcache_meta -a me:a:secret --tls --cacert a --cert b --key c --sni d --tls-skip-verify -4 \
            --rate-limiting 100 --reconnect-interval 3 -x 4 --data-size-list 5:1,70:3 --key-stddev 20 \
            --key-median 30 --key-maximum 100 --key-pattern G -o out --svg-file svg --hdr-file-prefix hdr \
            --print-percentiles 50,99.99 -D --print-all-runs
            """)
        #expect(more.dialect == .meta && more.credentials == .init(user: "me", password: "a:secret"))
        #expect(
            more.tls
                == .init(authorities: "a", certificate: "b", key: "c", serverName: "d", verifies: false))
        #expect(more.addressFamily == 4 && more.ratePerConnection == 100 && more.reconnectInterval == 3)
        #expect(more.runCount == 4 && more.dataSize == 5...70)
        #expect(more.sizeWeights == [.init(size: 5, weight: 1), .init(size: 70, weight: 3)])
        #expect(more.keyDeviation == 20 && more.keyMedian == 30)
        #expect(more.setPattern == .gaussian && more.getPattern == .gaussian)
        #expect(more.outFile == "out" && more.svgFile == "svg" && more.histogramPrefix == "hdr")
        #expect(more.percentiles == [50, 99.99] && more.debug && more.printsAllRuns)
    }

    @Test(
        arguments: [
            "--nonsense", "-x", "word", "-p", "-p 0", "-p 65536", "-p x", "--ratio 1", "--ratio 0:0",
            "--ratio 1:2:3", "--data-size 0", "--data-size-range 9-3", "--key-pattern Q:R",
            "--key-pattern R:R:R", "--key-pattern", "--key-minimum 5 --key-maximum 4", "-n 5 --test-time 5",
            "--test-time 0", "--preload=1", "-P redis", "--key-zipf-exp 0",
            "-d 1000000 --pipeline 65536", "-P binar", "-a name", "-a :secret", "--cert x", "--tls --key x",
            "--sni x",
            "--rate-limiting 0", "--run-count 0", "--data-size-list 5", "--data-size-list 5:0",
            "--data-size-list 5:1,",
            "-d 5 --data-size-range 5-6", "--data-size-pattern S", "--data-size-pattern X", "--key-stddev 0",
            "--key-maximum 10 --key-stddev 12", "--key-maximum 10 --key-median 11", "--print-percentiles 0",
            "--print-percentiles 50,101", "--reconnect-interval -1", "--pipeline 65536 --multi-key-get 65536",
        ])
    func wrongOptionsAreRefused(words: String) {
        #expect(throws: OptionError.self) { try parse(words) }
    }

    @Test func keysThatMemcachedRefusesAreRefused() {
        #expect(throws: OptionError.self) { try parse("--key-prefix \(String(repeating: "k", count: 243))") }
        #expect(throws: OptionError.self) { _ = try OptionParser.parse(["--key-prefix", "a b"]) }
    }

    /// What is wrong is said in a sentence that names the option, and never the secret.
    @Test func refusalsSayWhatWasExpected() {
        for (words, part) in [
            (["--ratio", "1"], "--ratio '1': expected two numbers with ':' between them"),
            (
                ["-P", "redis"],
                "--protocol 'redis': expected memcache_text, memcache_meta or memcache_binary"
            ),
            (["-a", "secret"], "--authenticate: expected USER:PASSWORD"),
        ] {
            #expect(throws: OptionError(message: part)) { _ = try OptionParser.parse(words) }
        }
    }

    @Test func helpWins() throws {
        guard case .help = try OptionParser.parse(["--help", "--nonsense"]) else {
            Issue.record("no help")
            return
        }
    }

    /// All connections of a preload together store each key once.
    @Test func preloadStoresEveryKeyOnce() throws {
        let load = try parse("--preload --key-maximum 999 -t 3 -c 7 -d 100").preloading
        let counts = (0..<load.connectionsInAll).map { load.requests(of: $0) }
        #expect(counts.compactMap { $0 }.reduce(0, +) == 1000)
        #expect(load.setRatio == 1 && load.getRatio == 0 && load.pipeline > 1)
    }

    @Test func numbersAsText() {
        #expect(decimal(1.005, places: 1) == "1.0")
        #expect(decimal(0.0449, places: 2) == "0.04")
        #expect(decimal(12.345, places: 0) == "12")
        #expect(decimal(-0.5, places: 2) == "-0.50")
        #expect(text("a\"\\\n") == "\"a\\\"\\\\\\u000a\"")
    }
}
