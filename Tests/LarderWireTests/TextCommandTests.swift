import Testing

@testable import LarderWire

@Suite struct TextCommandTests {
    @Test(
        arguments: [
            ("get", .get), ("gets", .gets), ("gat", .gat), ("gats", .gats), ("set", .set), ("add", .add),
            ("replace", .replace), ("append", .append), ("prepend", .prepend), ("cas", .cas),
            ("delete", .delete),
            ("incr", .incr), ("decr", .decr), ("touch", .touch), ("version", .version), ("quit", .quit),
            ("stats", .stats), ("watch", .watch), ("flush_all", .flushAll), ("verbosity", .verbosity),
            ("shutdown", .shutdown), ("slabs", .machinery), ("lru", .machinery), ("lru_crawler", .machinery),
            ("cache_memlimit", .machinery), ("extstore", .machinery), ("refresh_certs", .machinery),
        ] as [(String, TextCommand)])
    func names(name: String, command: TextCommand) {
        #expect(look(name) == command)
        // Neither a beginning, nor more, nor capitals.
        #expect(look("\(name)x") == .unknown)
        #expect(look(name.uppercased()) == .unknown)
        let beginning = String(name.dropLast())
        let known = ["get", "gat"]
        #expect(known.contains(beginning) || look(beginning) == .unknown)
    }

    @Test(arguments: ["", "x", "\u{0}get", "get\u{0}", "a name that is longer than any other"])
    func unknownNames(name: String) {
        #expect(look(name) == .unknown)
    }

    private func look(_ name: String) -> TextCommand {
        let bytes = Array(name.utf8)
        return TextCommand(name: bytes, length: bytes.count)
    }
}
