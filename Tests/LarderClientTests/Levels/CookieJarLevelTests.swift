import Foundation
import Testing

@testable import LarderClient

@Suite struct CookieJarLevelTests {
    private let clock = TestClock()
    private let file = TestFile()

    private func level(_ limits: LevelLimits = LevelLimits(), removals: Shared<[String]>? = nil) throws
        -> CookieJarLevel
    {
        let level = CookieJarLevel(path: file.path, limits: limits)
        try level.create(
            LevelContext(clock: clock.cacheClock) { item, reason in
                removals?.change { $0.append("\(item.key) \(reason)") }
            })
        return level
    }

    private func line(_ name: String, path: String = "/", end: Int64 = 4_000_000_000, value: String = "v")
        -> String
    {
        "host.com\tFALSE\t\(path)\tTRUE\t\(end)\t\(name)\t\(value)"
    }

    private func write(_ line: String, to level: CookieJarLevel) async throws {
        try await level.write(level.admit(LevelItem(key: "any", payload: Array(line.utf8))))
    }

    private func text() throws -> String { try String(contentsOfFile: file.path, encoding: .utf8) }
    private func put(_ text: String) throws { try Data(text.utf8).write(to: URL(fileURLWithPath: file.path)) }

    @Test func writesTheFileAnewTheNewCookieFirst() async throws {
        let level = try level()
        #expect(try level.lookup(.everything).isEmpty)
        try await write(line("a"), to: level)
        try await write(line("b", path: "/x"), to: level)
        try await write(line("a", value: "new"), to: level)
        #expect(
            try text()
                == "# Netscape HTTP Cookie File\n\(line("a", value: "new"))\n\(line("b", path: "/x"))\n")
        try await level.invalidate(.exactly("host.com|/|a"), reason: .removed)
        #expect(try text() == "# Netscape HTTP Cookie File\n\(line("b", path: "/x"))\n")
        // Nobody else's, and nothing is left beside it.
        let attributes = try FileManager.default.attributesOfItem(atPath: file.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        for beside in [".LCK", ".tmp"] {
            #expect(!FileManager.default.fileExists(atPath: file.path + beside))
        }
    }

    @Test func keyAndEndComeFromTheLine() async throws {
        let cache = try await LayeredCache(name: "L1", levels: [try level()], clock: clock.cacheClock)
        try await cache.write("whatever", Array(line("a").utf8), expiration: .after(.seconds(1)))
        #expect(try await cache.get("whatever") == nil)
        #expect(try await cache.get("host.com|/|a") == Array(line("a").utf8))
        #expect(cache.first.get("host.com|/|a")?.endMilliseconds == 4_000_000_000_000)
        // One that has ended already replaces what was there by nothing.
        try await cache.write("whatever", Array(line("a", end: clock.now / 1000).utf8))
        #expect(try await cache.get("host.com|/|a") == nil)
        #expect(try text() == "# Netscape HTTP Cookie File\n")
    }

    @Test func readsWhatOtherProgramsPutThere() async throws {
        let level = try level()
        try await write(line("a"), to: level)
        let others = """
            # Netscape HTTP Cookie File
            # https://curl.se/docs/http-cookies.html

            #HttpOnly_.host.com\tTRUE\t/\tFALSE\t0\tsession\tsecret
            host.com\tFALSE\t/\tFALSE\t4000000000\tempty\t
            no cookie at all
            host.com\tFALSE\t/\tFALSE\tsoon\tn\tv
            \(line("dead", end: 1))
            """
        try put(others.replacingOccurrences(of: "\n", with: "\r\n"))
        #expect(try level.sortedKeys() == [".host.com|/|session", "host.com|/|dead", "host.com|/|empty"])
        #expect(try level.get("host.com|/|a") == nil)
        #expect(
            try level.get(".host.com|/|session")?.payload
                == Array("#HttpOnly_.host.com\tTRUE\t/\tFALSE\t0\tsession\tsecret".utf8))
        #expect(try level.get(".host.com|/|session")?.endMilliseconds == nil)
        try await write(line("b"), to: level)
        // What is no cookie stays; what has ended does not.
        #expect(
            try text()
                == """
                # Netscape HTTP Cookie File
                \(line("b"))
                # https://curl.se/docs/http-cookies.html
                #HttpOnly_.host.com\tTRUE\t/\tFALSE\t0\tsession\tsecret
                host.com\tFALSE\t/\tFALSE\t4000000000\tempty\t
                no cookie at all
                host.com\tFALSE\t/\tFALSE\tsoon\tn\tv

                """)
    }

    @Test(arguments: [
        "", "host.com", "# comment", "host.com\tFALSE\t/\tTRUE\t0\tname",
        "host.com\tFALSE\t/\tTRUE\t-1\tname\tv",
        "host.com\tFALSE\t/\tTRUE\tx\tname\tv", "\tFALSE\t/\tTRUE\t0\tname\tv",
        "host.com\tFALSE\t\tTRUE\t0\tname\tv",
        "host.com\tFALSE\t/\tTRUE\t0\t\tv",
        "host.com\tFALSE\t/\tTRUE\t0\tname\tv\nhost.com\tFALSE\t/\tTRUE\t0\tother\tv",
        "host.com\tFALSE\t/\tTRUE\t0\tname\tv\r", "host.com\tFALSE\t/\tTRUE\t0\tname\tv\0",
    ])
    func takesCookiesOnly(line: String) async throws {
        let cache = try await LayeredCache(name: "L1", levels: [try level()], clock: clock.cacheClock)
        await #expect(throws: CacheError.self) { try await cache.write("k", Array(line.utf8)) }
        #expect(!FileManager.default.fileExists(atPath: file.path))
        #expect(cache.itemCount == 0)
    }

    @Test(arguments: [
        ("host.com|/a/b|*", ["/", "/a", "/a/b"]), ("host.com|/a|*", ["/", "/a"]),
        ("host.com|/a/bc|*", ["/", "/a", "/a/bc"]),
        ("host.com|/a/b/c|*", ["/", "/a", "/a/b"]), ("host.com|/|*", ["/"]), ("host.com|/ab|*", ["/"]),
        ("*|/a|n", ["/", "/a"]), ("other.com|/|*", []), ("host.com|/d/x|*", ["/", "/d/"]),
        ("host.com|/a*|*", ["/a", "/a/b", "/a/bc"]), ("host.com*", ["/", "/a", "/a/b", "/a/bc", "/d/"]),
        ("*", ["/", "/a", "/a/b", "/a/bc", "/d/"]), ("host.com|/d|*", ["/"]),
    ])
    func lookupsGoByThePath(pattern: String, paths: [String]) async throws {
        let level = try level()
        for path in ["/", "/a", "/a/b", "/a/bc", "/d/"] { try await write(line("n", path: path), to: level) }
        #expect(
            try level.lookup(KeyPattern(pattern)).map(\.key) == paths.reversed().map { "host.com|\($0)|n" })
    }

    /// A lookup of a path lists what lies above it; a removal means what it says.
    @Test func removalsGoByTheWildcard() async throws {
        let level = try level()
        for path in ["/", "/a", "/a/b"] { try await write(line("n", path: path), to: level) }
        try await level.invalidate(KeyPattern("host.com|/a/b|*"), reason: .removed)
        #expect(try level.sortedKeys() == ["host.com|/a|n", "host.com|/|n"])
    }

    @Test func limitsHold() async throws {
        let removals = Shared<[String]>([])
        let level = try level(LevelLimits(itemsMax: 3), removals: removals)
        for name in ["a", "b", "c"] { try await write(line(name), to: level) }
        _ = try level.get("host.com|/|a")
        try await write(line("d"), to: level)
        try await write(line("a", value: "2"), to: level)
        try await write(line("e"), to: level)
        #expect(
            removals.value == ["host.com|/|b evicted", "host.com|/|a overwritten", "host.com|/|c evicted"])
        #expect(try level.sortedKeys() == ["host.com|/|a", "host.com|/|d", "host.com|/|e"])
        let small = CookieJarLevel(
            path: file.path, limits: LevelLimits(payloadBytesMax: line("a").utf8.count))
        #expect(throws: CacheError.self) {
            try small.admit(LevelItem(key: "", payload: Array(line("a", value: "long").utf8)))
        }
        let tight = try self.level(
            LevelLimits(footprintBytesMax: 2 * line("a").utf8.count), removals: removals)
        removals.change { $0 = [] }
        try await write(line("f"), to: tight)
        // Of those that were not used through this level the last of the file go first.
        #expect(try tight.sortedKeys() == ["host.com|/|e", "host.com|/|f"])
        #expect(removals.value == ["host.com|/|d evicted", "host.com|/|a evicted"])
    }

    @Test func aLockIsWaitedForAndThenGivenUp() async throws {
        let level = try level()
        let lock = file.path + ".LCK"
        #expect(FileManager.default.createFile(atPath: lock, contents: nil))
        let writer = Task { try await write(line("a"), to: level) }
        for _ in 0..<10 {
            await until { clock.sleepers == 1 }
            clock.advance(.milliseconds(100))
        }
        await until { clock.sleepers == 1 }
        #expect(!FileManager.default.fileExists(atPath: file.path))
        try FileManager.default.removeItem(atPath: lock)
        clock.advance(.milliseconds(100))
        try await writer.value
        #expect(try level.sortedKeys() == ["host.com|/|a"])

        #expect(FileManager.default.createFile(atPath: lock, contents: nil))
        let start = clock.now
        let error = try await clock.running {
            await #expect(throws: CacheError.self) { try await write(line("b"), to: level) }
        }
        #expect(error?.code == .unavailable)
        #expect(clock.now - start >= 4900)
        #expect(try level.sortedKeys() == ["host.com|/|a"])
        try FileManager.default.removeItem(atPath: lock)
    }

    @Test func twoLevelsInOneFileLoseNothing() async throws {
        // By the real clock: the file is held for a moment, and whoever finds it so tries again in time.
        let levels = [CookieJarLevel(path: file.path), CookieJarLevel(path: file.path)]
        for level in levels { try level.create(LevelContext()) }
        try await withThrowingTaskGroup { group in
            for (place, level) in levels.enumerated() {
                for number in 0..<10 {
                    group.addTask { try await write(line("n\(place)-\(number)"), to: level) }
                }
            }
            try await group.waitForAll()
        }
        #expect(try levels[0].sortedKeys().count == 20)
    }

    @Test func errorsSayWhichFile() async throws {
        let level = CookieJarLevel(path: file.path + "/no/such/directory")
        await #expect(throws: CacheError.self) { try await write(line("a"), to: level) }
        try FileManager.default.createDirectory(atPath: file.path, withIntermediateDirectories: false)
        let directory = CookieJarLevel(path: file.path)
        let error = #expect(throws: CacheError.self) { try directory.create(LevelContext()) }
        #expect(error?.message.contains(file.path) == true)
        try FileManager.default.removeItem(atPath: file.path)
    }

    /// curl, started as a program, sends what the file has, and reads it as it is.
    @Test func curlReadsIt() async throws {
        let cache = try await LayeredCache(name: "L1", levels: [try level()], clock: clock.cacheClock)
        let cookies = [
            "host.com\tFALSE\t/\tFALSE\t4000000000\tmycookie\tmycookievalue",
            "host.com\tFALSE\t/xxx\tFALSE\t4000000000\tdeep\tmyxxxcookievalue",
            "host.com\tFALSE\t/\tTRUE\t4000000000\tsecure\tonly",
            "other.com\tFALSE\t/\tFALSE\t4000000000\tforeign\tvalue",
        ]
        for cookie in cookies { try await cache.write("", Array(cookie.utf8)) }
        let asked = Shared<[String]>([])
        let server = try FakeServer(greets: false) { line in
            asked.change { $0.append(line) }
            return line.isEmpty
                ? .say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n") : .silence
        }
        let dump = file.path + ".dump"
        defer { unlink(dump) }
        for path in ["/xxx", "/yyy"] {
            let curl = Process()
            curl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            curl.arguments = [
                "curl", "-sS", "-m", "60", "--noproxy", "*", "--unix-socket", server.path, "-b", file.path,
                "-c", dump,
                "http://host.com\(path)",
            ]
            try curl.run()
            curl.waitUntilExit()
            #expect(curl.terminationStatus == 0)
        }
        let sent = asked.value.filter { $0.hasPrefix("Cookie: ") }.map { line in
            line.dropFirst("Cookie: ".count).components(separatedBy: "; ").sorted()
        }
        #expect(sent == [["deep=myxxxcookievalue", "mycookie=mycookievalue"], ["mycookie=mycookievalue"]])
        // All four were cookies to it.
        let kept = try String(contentsOfFile: dump, encoding: .utf8).split(separator: "\n").map(String.init)
        #expect(Set(kept).isSuperset(of: cookies))
        // And what it wrote is read here.
        #expect(try CookieJarLevel(path: dump).sortedKeys().count == 4)
    }
}

extension CookieJarLevel {
    /// The keys of all that it has, in order.
    fileprivate func sortedKeys() throws -> [String] { try lookup(.everything).map(\.key).sorted() }
}
