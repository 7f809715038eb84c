import LarderTesting
import Testing

@Suite struct ConversationParserTests {
    private func parse(_ lines: String...) throws -> [Conversation] {
        try ConversationParser.parse(lines.joined(separator: "\n"), file: "test")
    }

    private func sent(_ line: String) throws -> [UInt8] {
        let conversation = try #require(try parse("== title", line).first)
        guard case .send(let text, _)? = conversation.steps.first else { return [] }
        return text.bytes(bindings: ["x": Array("17".utf8)], unixTime: 1000)
    }

    @Test(arguments: [
        ("-> get a", "get a\r\n"), ("->", "\r\n"), ("=> get a", "get a"), (#"=> a\tb\x41\\"#, "a\tbA\\"),
        (#"=> {"a\n"*3}"#, "a\na\na\n"), (#"=> \{"#, "{"), ("=> {cas x} {cas y}", "17 0"),
        ("=> {now} {now+5} {now-5}", "1000 1005 995"), (#"=> \x20 \0"#, "  \0"),
    ])
    func sentText(line: String, bytes: String) throws {
        #expect(try sent(line) == Array(bytes.utf8))
    }

    @Test(arguments: [
        "-> no title before", "== t\nwhat is this", "== t\n-> {word", "== t\n-> {nothing}", "== t\n-> \\q",
        "== t\n-> {\"a\"*x}", "== t\n-> \\xZZ", "== t\npeer 1.6.18: no line before", "== t\nadvance: 2",
        "== t\n<- a\npeer 1.6.18 something", "== t\nconnection: 0",
    ])
    func whatIsRefused(contents: String) {
        #expect(throws: ConversationSyntaxError.self) {
            try ConversationParser.parse(contents, file: "test")
        }
    }

    @Test func headers() throws {
        let conversations = try parse(
            "# comment", "options: -m 32", "== one", "options: -C", "larder only: why", "== two",
            "advance: 2s")
        #expect(conversations.map(\.title) == ["one", "two"])
        #expect(conversations.map(\.options) == [["-m", "32", "-C"], ["-m", "32"]])
        #expect(conversations.map(\.larderOnlyReason) == ["why", nil])
        #expect(conversations.map(\.advancesClock) == [false, true])
        #expect(conversations.map(\.line) == [3, 6])
    }

    @Test func aPeerAnswersOtherwise() throws {
        let conversation = try #require(
            try parse(
                "== t", "<- a", "peer 1: b", "peer 1: c", "<- d", "peer 1 nothing", "closed", "peer 1: e"
            ).first)
        let peer = Conversation.Server.peer(version: "1")
        let answers = conversation.steps.map { step -> [String] in
            guard case .expect(let expectation) = step else { return [] }
            return expectation.answers(of: peer).map { answer in
                if case .text(let text) = answer { "\(text)" } else { "closed" }
            }
        }
        #expect(answers == [[#"b\r\n"#, #"c\r\n"#], [], [#"e\r\n"#]])
    }

    @Test(arguments: [
        ("<- a", "a\r\nb", ConversationText.Match.matched(end: 3)), ("<- a", "a\r", .incomplete),
        ("<- a", "b", .mismatch),
        ("<- {number}", "-12.5\r\n", .matched(end: 7)), ("<- {number}", "x\r\n", .mismatch),
        ("<- {number}", "1", .incomplete),
        ("<- {word} {rest}", "a b c\r\n", .matched(end: 7)), ("<- {word}", "\r\n", .mismatch),
        ("<= {lines}END", "a\r\nb\r\nEND", .matched(end: 9)), ("<= {lines}END", "END", .matched(end: 3)),
        ("<= {lines}END", "a\r\nEN", .incomplete), ("<- {cas a} {cas a}", "5 5\r\n", .matched(end: 5)),
        ("<- {cas a} {cas a}", "5 6\r\n", .mismatch), ("<- {now+1}", "1001\r\n", .matched(end: 6)),
        ("<- t{90s}", "t88\r\n", .matched(end: 5)), ("<- t{90s}", "t92\r\n", .matched(end: 5)),
        ("<- t{90s}", "t87\r\n", .mismatch), ("<- t{90s}", "t-\r\n", .mismatch),
        ("<- l{0s}", "l-9223372036854775809\r\n", .mismatch), ("<- l{0s}", "l", .incomplete),
    ])
    func matching(line: String, input: String, match: ConversationText.Match) throws {
        let conversation = try #require(try parse("== t", line).first)
        guard case .expect(let expectation)? = conversation.steps.first,
            case .text(let text) = expectation.answer
        else { throw ConversationParserTestsError() }
        var bindings: ConversationText.Bindings = [:]
        let clock = ConversationText.Clock(unixTime: 1000, driftSeconds: 2)
        #expect(text.match(Array(input.utf8), from: 0, bindings: &bindings, clock: clock) == match)
    }

    @Test func aPieceEndsWhereAnAnswerIsNeeded() throws {
        let conversation = try #require(
            try parse(
                "== t", "-> a", "<- {cas x}", "-> b", "-> {cas x}", "connection: 2", "-> c", "advance: 1s",
                "-> d"
            ).first)
        let segments = conversation.segments
        #expect(segments.map(\.input.count) == [2, 1, 1, 1])
        #expect(segments.map(\.connection) == [1, 1, 2, 2])
        #expect(segments.map(\.advanceMilliseconds) == [0, 0, 0, 1000])
    }

    /// A conversation that must fail, lest the others pass for want of looking.
    @Test(arguments: ["<- STORED", "<- ERROR\n<- ERROR", "closed", "-> version"])
    func theRunnerNotices(lines: String) throws {
        let conversation = try #require(try parse("== t", "-> nonsense", lines).first)
        let server = try ServerProcess(executable: TestServers.memcached)
        #expect(throws: ConversationFailure.self) {
            try ConversationRunner.hold(
                conversation, with: .larder, at: server.endpoint, context: "", patienceMilliseconds: 300)
        }
    }
}

private struct ConversationParserTestsError: Error {}
