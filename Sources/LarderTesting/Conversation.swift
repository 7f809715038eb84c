/// One recorded exchange of bytes with a cache server: what is sent, and what must come back.
///
/// Conversations are read from `*.conversation` files by `ConversationParser`; the format is
/// described in `Tests/Conversations/README.md`. Each one starts with an empty store.
package struct Conversation: Sendable {
    /// What a server does at one point of a conversation.
    package enum Answer: Sendable {
        /// It sends these bytes.
        case text(ConversationText)
        /// It closes the connection, and sends nothing before that.
        case closes
    }

    /// An answer and, where the named peer differs, what that one answers instead.
    package struct Expectation: Sendable {
        package let line: Int
        package let answer: Answer
        /// Version of the other server to its answers in place of `answer`; an empty list is silence.
        package var answersByVersion: [String: [Answer]] = [:]

        /// What `server` answers here.
        package func answers(of server: Server) -> [Answer] {
            if case .peer(let version) = server, let answers = answersByVersion[version] { return answers }
            return [answer]
        }
    }

    package enum Step: Sendable {
        case send(ConversationText, line: Int)
        case expect(Expectation)
        /// Nothing has been answered since the last answer: checked where the test is the server's only client.
        case expectNothing
        /// Time passes: only where the test holds the clock.
        case advance(milliseconds: Int)
        /// The steps that follow are on the connection of this number (the first is 1).
        case switchTo(connection: Int)
    }

    /// Who is being talked to.
    package enum Server: Sendable, Equatable {
        case larder
        /// A real memcached of this version.
        case peer(version: String)
    }

    package let file: String
    package let title: String
    package let line: Int
    /// Command-line options that the server must be started with.
    package var options: [String]
    /// Why no other server can hold this conversation; nil when it can.
    package var larderOnlyReason: String?
    package var steps: [Step] = []

    /// Whether the conversation needs a clock that the test can move.
    package var advancesClock: Bool {
        steps.contains { step in
            if case .advance = step { true } else { false }
        }
    }

    package var name: String { "\(file):\(line) \(title)" }
}

/// A stretch of a conversation whose input can be sent in one piece: nothing in it depends
/// on an answer inside it, and it stays on one connection.
package struct ConversationSegment: Sendable {
    package var connection: Int
    /// How far to move the clock before sending.
    package var advanceMilliseconds = 0
    package var input: [ConversationText] = []
    package var expectations: [Conversation.Expectation] = []
}

extension Conversation {
    /// The conversation cut into pieces that may be sent whole, or split anywhere.
    package var segments: [ConversationSegment] {
        var segments: [ConversationSegment] = []
        var current = ConversationSegment(connection: 1)
        func finish(connection: Int) {
            segments.append(current)
            current = ConversationSegment(connection: connection)
        }
        for step in steps {
            switch step {
            case .send(let text, _):
                let bound = current.expectations.flatMap(\.boundNames)
                if !text.casNames.isDisjoint(with: bound) { finish(connection: current.connection) }
                current.input.append(text)
            case .expect(let expectation):
                current.expectations.append(expectation)
            case .expectNothing:
                finish(connection: current.connection)
            case .advance(let milliseconds):
                finish(connection: current.connection)
                current.advanceMilliseconds = milliseconds
            case .switchTo(let connection):
                finish(connection: connection)
            }
        }
        segments.append(current)
        return segments
    }
}

extension Conversation.Expectation {
    /// The cas names that this answer may give a value to.
    fileprivate var boundNames: [String] {
        if case .text(let text) = answer { Array(text.casNames) } else { [] }
    }
}
