import LarderWire
import Testing

/// The commands that concern the server, and those that do not exist.
@Suite struct TextParserServerTests {
    @Test(arguments: [
        ("version\r\n", ["version"]),
        ("version foo bar\n", ["version"]),
        ("version noreply\r\n", ["version"]),
        ("quit\r\n", ["quit"]),
        ("quit x\r\n", ["quit"]),
        ("stats\r\n", ["statistics"]),
        ("stats  \r\n", ["statistics"]),
        ("stats settings\r\n", ["statistics settings"]),
        ("stats  detail  on  \r\n", ["statistics detail  on"]),
        ("stats noreply\r\n", ["statistics noreply"]),
        ("shutdown\r\n", ["shutdown"]),
        ("shutdown graceful\r\n", ["shutdown graceful"]),
        ("shutdown noreply\r\n", ["shutdown noreply noReply"]),
    ])
    func plainCommands(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("flush_all\r\n", ["flushAll"]),
        ("flush_all  \n", ["flushAll"]),
        ("flush_all 0\r\n", ["flushAll 0"]),
        ("flush_all -10\r\n", ["flushAll -10"]),
        ("flush_all 10 noreply\r\n", ["flushAll 10 noReply"]),
        ("flush_all 10 x y\r\n", ["flushAll 10"]),
        ("flush_all noreply\r\n", ["flushAll noReply"]),
        ("  flush_all noreply\r\n", ["flushAll noReply"]),
        ("flush_all x\r\n", ["reject invalidExptime"]),
        ("flush_all -\r\n", ["reject invalidExptime"]),
        ("flush_all 2147483648\r\n", ["reject invalidExptime"]),
        ("flush_all noreply noreply\r\n", ["reject invalidExptime silent"]),
    ])
    func flushes(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("verbosity 1\r\n", ["verbosity 1"]),
        ("verbosity 4294967295 noreply\r\n", ["verbosity 4294967295 noReply"]),
        (" verbosity 0 x\n", ["verbosity 0"]),
        ("verbosity\r\n", ["reject badCommandLine"]),
        ("verbosity -1\r\n", ["reject badCommandLine"]),
        ("verbosity 4294967296\r\n", ["reject badCommandLine"]),
        ("verbosity foo bar my\r\n", ["reject badCommandLine"]),
        ("verbosity noreply\r\n", ["reject badCommandLine silent"]),
    ])
    func verbosity(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        "slabs reassign 1 2", "slabs", "lru mode flat", "lru_crawler metadump all", "cache_memlimit 64",
        "extstore item_size 1", "refresh_certs", "watch", "watch fetchers",
    ])
    func machinery(line: String) {
        expectSteps("\(line)\r\n", ["administration \(line)"])
    }

    @Test func machineryHearsNoReply() {
        expectSteps("  lru mode flat noreply\r\n", ["administration   lru mode flat noreply noReply"])
    }

    @Test(arguments: [
        ("GET k\r\n", ["reject unknownCommand"]),
        ("getk\r\n", ["reject unknownCommand"]),
        ("get\tk\r\n", ["reject unknownCommand"]),
        (" get k\r\n", ["reject unknownCommand"]),
        (" watch\r\n", ["reject unknownCommand"]),
        ("flush\r\n", ["reject unknownCommand"]),
        ("flush_alll\r\n", ["reject unknownCommand"]),
        ("foo bar noreply\r\n", ["reject unknownCommand silent"]),
        ("noreply\r\n", ["reject unknownCommand"]),
        ("foo\r\nget k\r\n", ["reject unknownCommand", "key k first", "end"]),
    ])
    func unknownCommands(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("GET / HTTP/1.1\r\nHost: x\r\n", ["close"]),
        ("POST /a HTTP/2 \n", ["close"]),
        ("x HTTP/\r\n", ["close"]),
        ("HTTP/1.1\r\n", ["reject unknownCommand"]),
        ("GET HTTP/1.1 x\r\n", ["reject unknownCommand"]),
        ("x HTTP\r\n", ["reject unknownCommand"]),
        ("get / HTTP/1.1\r\n", ["key / first", "key HTTP/1.1", "end"]),
    ])
    func browsersAreHungUpOn(input: String, steps: [String]) {
        expectSteps(input, steps)
    }
}
