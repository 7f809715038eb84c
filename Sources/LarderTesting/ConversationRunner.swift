import Glibc
package import LarderTLS

/// The first thing in a conversation that went otherwise than written.
package struct ConversationFailure: Error, CustomStringConvertible, Sendable {
    package let description: String

    /// - Parameters:
    ///   - line: The line of the file that was not met.
    ///   - context: How the conversation was being held.
    package init(_ conversation: Conversation, line: Int, expected: String, actual: [UInt8], context: String) {
        description = """
            \(conversation.file):\(line) in "\(conversation.title)", \(context)
            expected: \(expected)
            actual:   \(escaped(actual))
            """
    }
}

/// Holds conversations with servers over sockets, one step at a time.
package struct ConversationRunner {
    private let conversation: Conversation
    private let server: Conversation.Server
    private let endpoint: ServerEndpoint
    private let context: String
    private let patienceMilliseconds: Int64
    private let tls: TLSContext?
    private var clients: [Int: SocketClient] = [:]
    private var current = 1
    private var bindings: ConversationText.Bindings = [:]
    private let started = ContinuousClock.now

    /// Holds `conversation` with the server at `endpoint`, which must be new.
    ///
    /// After the last step the client ends its side: whatever still comes is an answer
    /// that nobody expected.
    ///
    /// - Parameters:
    ///   - context: How to call this server in a failure.
    ///   - patienceMilliseconds: How long to wait for an answer.
    ///   - tls: What the client's sessions are made from; nil for talking in the clear.
    package static func hold(
        _ conversation: Conversation, with server: Conversation.Server, at endpoint: ServerEndpoint,
        context: String, patienceMilliseconds: Int64 = 10_000, tls: TLSContext? = nil
    ) throws {
        var runner = ConversationRunner(
            conversation: conversation, server: server, endpoint: endpoint, context: context,
            patienceMilliseconds: patienceMilliseconds, tls: tls)
        for step in conversation.steps { try runner.hold(step) }
        try runner.expectSilence()
    }

    private mutating func hold(_ step: Conversation.Step) throws {
        switch step {
        case .send(let text, _):
            try client().send(text.bytes(bindings: bindings, unixTime: unixTime))
        case .expect(let expectation):
            for answer in expectation.answers(of: server) { try expect(answer, line: expectation.line) }
        case .expectNothing:
            // An answer may be on its way: only a server inside the test can be asked.
            break
        case .switchTo(let connection):
            current = connection
        case .advance:
            preconditionFailure("a conversation that moves the clock needs a server inside the test")
        }
    }

    private mutating func client() throws -> SocketClient {
        if let client = clients[current] { return client }
        let client = try SocketClient(endpoint, patienceMilliseconds: patienceMilliseconds, tls: tls)
        clients[current] = client
        return client
    }

    private mutating func expect(_ answer: Conversation.Answer, line: Int) throws {
        let client = try client()
        switch answer {
        case .closes:
            let rest: [UInt8]
            do { rest = try client.receiveToEnd() } catch {
                throw failure(line, "the server closes the connection", "\(error)")
            }
            guard rest.isEmpty else { throw failure(line, "the server closes the connection", rest) }
        case .text(let text):
            while true {
                switch text.match(client.received, from: 0, bindings: &bindings, clock: clock) {
                case .matched(let end):
                    client.consume(end)
                    return
                case .mismatch:
                    throw failure(line, "\(text)", client.received)
                case .incomplete:
                    let isMore: Bool
                    do { isMore = try client.receiveMore() } catch {
                        throw failure(line, "\(text)", client.received + Array(" [\(error)]".utf8))
                    }
                    guard isMore else {
                        throw failure(line, "\(text)", client.received + Array(" [closed]".utf8))
                    }
                }
            }
        }
    }

    private func expectSilence() throws {
        for client in clients.values {
            client.finishSending()
            let rest = try client.receiveToEnd()
            guard rest.isEmpty else { throw failure(conversation.line, "nothing more", rest) }
        }
    }

    private func failure(_ line: Int, _ expected: String, _ actual: [UInt8]) -> ConversationFailure {
        ConversationFailure(conversation, line: line, expected: expected, actual: actual, context: context)
    }

    private func failure(_ line: Int, _ expected: String, _ actual: String) -> ConversationFailure {
        failure(line, expected, Array(actual.utf8))
    }

    private var unixTime: Int64 { Int64(time(nil)) }

    /// The server's clock moves on, and may have begun one second more than have passed here.
    private var clock: ConversationText.Clock {
        ConversationText.Clock(
            unixTime: unixTime, driftSeconds: (ContinuousClock.now - started).components.seconds + 1)
    }
}
