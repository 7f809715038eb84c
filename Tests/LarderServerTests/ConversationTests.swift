import LarderTLS
import LarderTesting
import Testing

extension Conversation: CustomTestStringConvertible {
    package var testDescription: String { name }
}

/// Holds every conversation of `Tests/Conversations` with every server there is.
@Suite struct ConversationTests {
    /// Conversations that need no clock of ours.
    private static let timeless = ConversationFiles.all.filter { !$0.advancesClock }

    @Test func everyFileCanBeRead() throws {
        #expect(try ConversationFiles.read().count > 250)
    }

    /// Whole, byte by byte, and in two pieces, cut at every place.
    @Test(arguments: ConversationFiles.all)
    func insideTheTest(conversation: Conversation) throws {
        try InProcessTalk.holdAtEverySplit(conversation)
    }

    @Test(arguments: timeless, [1, 4])
    func withLarder(conversation: Conversation, threads: Int) throws {
        let server = try ServerProcess(
            executable: TestServers.larder, arguments: ["-t", "\(threads)"] + conversation.options)
        try ConversationRunner.hold(
            conversation, with: .larder, at: server.endpoint, context: "larder -t \(threads)")
    }

    @Test(arguments: timeless, [1, 4])
    func withLarderOverTLS(conversation: Conversation, threads: Int) throws {
        let certificate = try TestCertificate.shared.get()
        let server = try ServerProcess(
            executable: TestServers.larder,
            arguments: ["-t", "\(threads)"] + certificate.serverOptions + conversation.options)
        try ConversationRunner.hold(
            conversation, with: .larder, at: server.endpoint, context: "larder -Z -t \(threads)",
            tls: TLSContext(trusting: certificate.chainPath))
    }

    @Test(arguments: timeless.filter { $0.larderOnlyReason == nil })
    func withMemcached(conversation: Conversation) throws {
        let server = try ServerProcess(
            executable: TestServers.memcached, arguments: ["-t", "1"] + conversation.options)
        let version = try TestServers.memcachedVersion()
        try ConversationRunner.hold(
            conversation, with: .peer(version: version), at: server.endpoint, context: "memcached \(version)")
    }

    /// Real time passes here, and only here: about a second.
    @Test func aSecondPasses() throws {
        let server = try ServerProcess(executable: TestServers.larder)
        let client = try SocketClient(server.endpoint)
        try client.send(Array("set k 0 1 1\r\nv\r\nget k\r\n".utf8))
        #expect(try client.receiveLine() == Array("STORED\r\n".utf8))
        #expect(try client.receive(count: 21) == Array("VALUE k 0 1\r\nv\r\nEND\r\n".utf8))
        let deadline = Deadline(milliseconds: 5000)
        var isThere = true
        while isThere, !deadline.hasPassed {
            try client.send(Array("get k\r\n".utf8))
            isThere = try client.receiveLine() != Array("END\r\n".utf8)
            if isThere { _ = try client.receive(count: 8) }
        }
        #expect(!isThere)
    }

    @Test func aSocketFileServesAsWell() throws {
        let server = try ServerProcess(executable: TestServers.larder, transport: .unix)
        let client = try SocketClient(server.endpoint)
        try client.send(Array("set k 0 0 1\r\nv\r\nquit\r\n".utf8))
        #expect(try client.receiveToEnd() == Array("STORED\r\n".utf8))
    }
}
