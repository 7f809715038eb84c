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
        /// The answer of a meta command: a line, and a value when it begins with `VA`.
        case meta
        /// Such answers, as many as there are, and then that of `mn`.
        case upToNoOperation
        /// `me`: a line of which only some is of any meaning to another server.
        case debugLine
        /// These bytes from a server that follows memcached 1.6.40 or later; those from an older one.
        case fixed(new: [UInt8], old: [UInt8])
    }

    package var parts: [Part]
    package var shape: Shape
    /// The keys whose values the answer holds.
    package var keysRead: [[UInt8]] = []
    /// The key of an `incr`, `decr` or `ma`.
    package var keyCounted: [UInt8]?
    /// The key of a meta command, whose cas an answer may tell.
    package var key: [UInt8]?

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
        /// `md` says what is wrong with its flags, as `mg` and `ms` do; only `ma` has one text for all.
        case flagText
        /// A mode of `ms` and `ma` is the first letter behind `M`, whatever follows.
        case longMode
        /// A key is read whatever its flags, and its length is looked at first.
        case longKey
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

    private static let badFlag = "CLIENT_ERROR invalid flag\r\n"
    private static let twice = "CLIENT_ERROR duplicate flag\r\n"
    private static let badFlagOfArithmetic = "CLIENT_ERROR invalid or duplicate flag\r\n"
    private static let badToken = "CLIENT_ERROR bad token in command line format\r\n"
    private static let badKey = "CLIENT_ERROR error decoding key\r\n"
    private static let longOpaque = "CLIENT_ERROR opaque token too long\r\n"
    private static let tooMany = "CLIENT_ERROR options flags are too long\r\n"
    private static let o32 = "O" + String(repeating: "o", count: 32)

    /// The same for meta commands.
    package static let meta: [MalformedCommand] = [
        .init("mg\r\n", new: badLine, old: error, .missingWords),
        .init("md \r\n", new: badLine, old: error, .missingWords),
        .init("ma\n", new: badLine, old: error, .missingWords),
        .init("ms\r\n", new: badLine, old: error, .missingWords),
        .init("ms k0\r\n", badLine),
        .init("ms k0 abc\r\n", badLine),
        .init("ms k0 -1\r\n", badLine),
        .init("ms k0 2147483646\r\n", badLine),
        .init("me\r\n", badLine),
        .init("me \(longKey)\r\n", badLine),
        .init("mx k0\r\n", error),
        .init(" mn\r\n", new: error, old: "MN\r\n", .leadingSpaces),
        .init("mn nonsense\r\n", "MN\r\n"),
        .init("mg \(longKey) v\r\n", badLine),
        .init("md \(longKey) q\r\n", badLine),
        .init("ma \(longKey)\r\n", new: badFlagOfArithmetic, old: badLine, .longKey),
        .init("ms \(longKey) 2\r\nzz\r\n", new: badLine, old: badLine + error, .dataSkipped),
        .init("mg k0 Z\r\n", badFlag),
        .init("mg k0 3 v v\r\n", badFlag),
        .init("mg k0 v v Z\r\n", twice),
        .init("mg k0 q noreply\r\n", badFlag),
        .init("ms k0 2 v Z\r\nzz\r\n", badFlag),
        .init("ms k0 2 q q\r\nzz\r\n", twice),
        .init("md k0 Z\r\n", new: badFlag, old: badFlagOfArithmetic, .flagText),
        .init("md k0 q q\r\n", new: twice, old: badFlagOfArithmetic, .flagText),
        .init("ma k0 Z\r\n", badFlagOfArithmetic),
        .init("ma k0 v v\r\n", badFlagOfArithmetic),
        .init("ma k0 Dx\r\n", badFlagOfArithmetic),
        .init("mg k0 Tx\r\n", badToken),
        .init("mg k0 N\n", badToken),
        .init("mg k0 R5x\r\n", badToken),
        .init("mg k0 C-1\r\n", badToken),
        .init("ms k0 2 C18446744073709551616\r\nzz\r\n", badToken),
        .init("ms k0 2 Fx\r\nzz\r\n", badLine),
        .init("ms k0 2 Cx F-1\r\nzz\r\n", badToken),
        .init("mg k0 Tx Dx\r\n", "CLIENT_ERROR invalid numeric delta value\r\n"),
        .init("mg k0 Jx\r\n", "CLIENT_ERROR invalid numeric initial value\r\n"),
        .init("ms k0 2 MX\r\nzz\r\n", "CLIENT_ERROR invalid mode for ms M token\r\n"),
        .init(
            "ms k0 2 M\r\nzz\r\n", new: "CLIENT_ERROR invalid mode for ms M token\r\n",
            old: "CLIENT_ERROR incorrect length for M token\r\n", .longMode),
        .init("ma k0 MX\r\n", "CLIENT_ERROR invalid mode for ma M token\r\n"),
        .init("ms k0 2 q \(o32)\r\nzz\r\n", longOpaque),
        .init("md k0 \(o32)\r\n", longOpaque),
        .init("mg a2V b\r\n", badKey),
        .init("mg *** b v\r\n", badKey),
        .init("ms A=== 2 b\r\nzz\r\n", badKey),
        .init("md a2V b\r\n", new: badKey, old: badFlagOfArithmetic, .flagText),
        .init("ma a2V b\r\n", badFlagOfArithmetic),
        .init("mg k0 v s t c f h l k u q N0 R0 T0 Ox Px Lx I F1 M\r\n", tooMany),
        .init(
            "ms k0 2 v s t c f h l k u q N0 R0 T0 Ox Px Lx I F1\r\nzz\r\n", new: tooMany,
            old: "CLIENT_ERROR options flags too long\r\n" + error, .dataSkipped),
        .init("ms k0 2 q\r\nzzzzab\r\n", badData + error),
    ]
}
