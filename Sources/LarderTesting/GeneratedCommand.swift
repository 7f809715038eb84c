/// One command of a random stream, and how its answer is to be read.
package struct GeneratedCommand: Sendable {
    /// A piece of what is sent.
    package enum Part: Sendable, Equatable {
        case bytes([UInt8])
        /// The cas that this server last told for the key, in decimal.
        case cas(of: [UInt8])
    }

    /// What comes back.
    package enum Shape: Sendable, Equatable {
        /// Nothing.
        case silence
        /// One line.
        case line
        /// Values, then `END`.
        case values
        /// These bytes from a server that follows memcached 1.6.40 or later; those from an older one.
        case fixed(new: [UInt8], old: [UInt8])
    }

    package var parts: [Part]
    package var shape: Shape
    /// The keys whose values the answer holds.
    package var keysRead: [[UInt8]] = []
    /// The key of an `incr` or `decr`.
    package var keyCounted: [UInt8]?

    /// What to send to a server that told these cas values.
    package func bytes(knowing cas: [[UInt8]: [UInt8]]) -> [UInt8] {
        // A cas that no server gives out.
        let unknown = Array("18446744073709551615".utf8)
        return parts.flatMap { part in
            switch part {
            case .bytes(let bytes): bytes
            case .cas(let key): cas[key] ?? unknown
            }
        }
    }
}

extension GeneratedCommand: CustomStringConvertible {
    package var description: String {
        parts.map { part in
            switch part {
            case .bytes(let bytes): escaped(bytes)
            case .cas(let key): "{cas of \(escaped(key))}"
            }
        }.joined()
    }
}

/// Lines that are no commands, with the answers of both generations of memcached.
///
/// The parser of memcached 1.6.40 changed what is answered; `difference` is the rule that
/// explains it, and nil where nothing changed.
package struct MalformedCommand: Sendable {
    /// Why the two generations differ.
    package enum Difference: Sendable {
        /// A line without all its words is `CLIENT_ERROR bad command line format`, no more `ERROR`.
        case missingWords
        /// The data behind a bad line are skipped, no more read as a command.
        case dataSkipped
        /// `noreply` is heard on every line that could be read, and only there.
        case noReply
        /// A command begins its line: spaces in front are not skipped.
        case leadingSpaces
        /// `gat` without keys is an error, no more an empty answer.
        case retrievalWithoutKeys
    }

    package let input: String
    /// Answer of 1.6.40 and later.
    package let new: String
    /// Answer of older ones.
    package let old: String
    package let difference: Difference?

    private init(_ input: String, new: String, old: String, _ difference: Difference) {
        (self.input, self.new, self.old, self.difference) = (input, new, old, difference)
    }

    private init(_ input: String, _ answer: String) {
        (self.input, self.new, self.old, difference) = (input, answer, answer, nil)
    }

    private static let error = "ERROR\r\n"
    private static let badLine = "CLIENT_ERROR bad command line format\r\n"
    private static let badData = "CLIENT_ERROR bad data chunk\r\n"
    private static let badTime = "CLIENT_ERROR invalid exptime argument\r\n"
    private static let badDelta = "CLIENT_ERROR invalid numeric delta argument\r\n"
    private static let longKey = String(repeating: "k", count: 251)

    /// None of them changes anything, whatever is stored. A retrieval of a key that is too long
    /// is missing: for its sake memcached forgets answers that it has not sent yet.
    package static let all: [MalformedCommand] = [
        .init("\r\n", new: badLine, old: error, .missingWords),
        .init("\n", new: badLine, old: error, .missingWords),
        .init("x\r\n", new: badLine, old: error, .missingWords),
        .init("get\r\n", new: badLine, old: error, .missingWords),
        .init("gets \r\n", new: badLine, old: error, .missingWords),
        .init("set k0\r\n", new: badLine, old: error, .missingWords),
        .init("add k0 0 0\r\n", new: badLine, old: error, .missingWords),
        .init("cas k0 0 0\n", new: badLine, old: error, .missingWords),
        .init("incr k0\r\n", new: badLine, old: error, .missingWords),
        .init("touch k0\r\n", new: badLine, old: error, .missingWords),
        .init("delete\r\n", new: badLine, old: error, .missingWords),
        .init("verbosity\r\n", new: badLine, old: error, .missingWords),
        .init("gat 0\r\n", new: badLine, old: "END\r\n", .retrievalWithoutKeys),
        .init("set \(longKey) 0 0 2\r\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("prepend \(longKey) 0 0 2\r\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("set k0 abc 0 2\r\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("add k0 0 abc 2\r\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("set k0 -1 0 2\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("cas k0 0 0 2 abc\r\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("set k0 abc 0 2 noreply\r\nzz\r\n", new: "", old: error, .dataSkipped),
        .init("set k0 0 0 abc noreply\r\n", new: badLine, old: "", .noReply),
        .init("nonsense noreply\r\n", new: "", old: error, .noReply),
        // What is left of the data is an empty line.
        .init("set k0 0 0 2\r\nzzzz\r\n", new: badData + badLine, old: badData + error, .missingWords),
        .init(" get absent\r\n", new: error, old: "END\r\n", .leadingSpaces),
        .init("set k0 0 0 2\r\nzzzzab\r\n", badData + error),
        .init("append k0 0 0 0\r\nzznonsense\r\n", badData + error),
        .init("set k0 0 0 -1\r\n", badLine),
        .init("set k0 0 0 1x\r\n", badLine),
        .init("set k0 0 0 2147483647\r\n", badLine),
        .init("delete \(longKey)\r\n", badLine),
        .init("incr \(longKey) 1\r\n", badLine),
        .init("touch \(longKey) 1\r\n", badLine),
        .init("incr k0 abc\r\n", badDelta),
        .init("decr k0 -1\n", badDelta),
        .init("incr k0 18446744073709551616\r\n", badDelta),
        .init("incr k0 abc noreply\r\n", ""),
        .init("touch k0 abc\r\n", badTime),
        .init("gat abc k0\r\n", badTime),
        .init("flush_all abc\r\n", badTime),
        .init("nonsense\r\n", error),
        .init("GET k0\r\n", error),
        .init("get\tk0\r\n", error),
        .init("STORED\r\n", error),
        .init("verbosity abc\r\n", badLine),
        .init("verbosity 0\r\n", "OK\r\n"),
    ]
}
