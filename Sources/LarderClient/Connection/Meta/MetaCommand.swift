/// A command of memcached's meta protocol with flags of the caller's choice, for what the rest of this library has no
/// word for: values that are stale, made anew before they end, or asked for without being counted as used
/// (memcached's doc/protocol.txt, "Meta Commands").
///
/// ```swift
/// let answer = try await connection.meta(.get("team:5", "v", "t", "h", "R30"))
/// if answer.flags["W"] != nil { refresh() }
/// ```
///
/// Opaque, base64 and the key's echo are the connection's own matter.
public struct MetaCommand: Sendable, Hashable {
    /// What is done.
    public enum Verb: String, Sendable, Hashable {
        /// Reads, touches, or leases.
        case get = "mg"
        /// Stores `bytes`.
        case set = "ms"
        /// Deletes, or marks as stale.
        case delete = "md"
        /// Counts up or down.
        case arithmetic = "ma"
    }

    /// What is done.
    public var verb: Verb
    /// 1 to 250 bytes; with spaces or control characters 186.
    public var key: String
    /// Each a letter and what belongs to it, as the protocol writes them: `v`, `N30`, `MA`.
    public var flags: [String]
    /// The value of a `set`.
    public var bytes: [UInt8]

    /// A command as it is written.
    public init(_ verb: Verb, _ key: String, flags: [String], bytes: [UInt8] = []) {
        self.verb = verb
        self.key = key
        self.flags = flags
        self.bytes = bytes
    }

    /// `mg`.
    public static func get(_ key: String, _ flags: String...) -> MetaCommand {
        MetaCommand(.get, key, flags: flags)
    }

    /// `ms`.
    public static func set(_ key: String, _ bytes: [UInt8], _ flags: String...) -> MetaCommand {
        MetaCommand(.set, key, flags: flags, bytes: bytes)
    }

    /// `md`.
    public static func delete(_ key: String, _ flags: String...) -> MetaCommand {
        MetaCommand(.delete, key, flags: flags)
    }

    /// `ma`.
    public static func arithmetic(_ key: String, _ flags: String...) -> MetaCommand {
        MetaCommand(.arithmetic, key, flags: flags)
    }

    /// No line that servers read is longer, flags and key together.
    private static let flagsBytesMax = 1024

    /// Refuses what would not be this command on the wire, or what nobody would be answered.
    func check() throws(MemcacheError) {
        var count = 0
        for flag in flags {
            guard let letter = flag.utf8.first, flag.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
                throw MemcacheError(
                    .clientError, "a flag is a letter and what belongs to it: \(flag.debugDescription)")
            }
            if "Okbq".utf8.contains(letter) {
                throw MemcacheError(.clientError, "the flag \(flag) is the connection's own matter")
            }
            count += flag.utf8.count + 1
        }
        guard count <= Self.flagsBytesMax else {
            throw MemcacheError(.clientError, "these flags are too long together")
        }
    }
}

/// What a server answers to a `MetaCommand`.
public struct MetaAnswer: Sendable, Hashable {
    /// The kinds of answers.
    public enum Code: String, Sendable, Hashable {
        /// A value follows.
        case value = "VA"
        /// It was done.
        case done = "HD"
        /// There is none.
        case miss = "EN"
        /// What has to be there for storing is not, or what must not be is.
        case notStored = "NS"
        /// The item has another cas.
        case exists = "EX"
        /// There is none to change.
        case notFound = "NF"
    }

    /// What kind of answer it is.
    public let code: Code
    /// The value, after `VA`.
    public let bytes: [UInt8]
    /// The flags that came back, each with what belongs to it: `t` with the seconds left, `W` with nothing.
    public let flags: [Character: String]

    init?(_ answer: Answer) {
        switch answer.code {
        case .value: code = .value
        case .done: code = .done
        case .miss: code = .miss
        case .notStored: code = .notStored
        case .exists: code = .exists
        case .notFound: code = .notFound
        default: return nil
        }
        bytes = answer.bytes
        var flags: [Character: String] = [:]
        for word in answer.words?.split(separator: 0x20) ?? [] {
            guard let letter = word.first, letter < 0x80, !"Okb".utf8.contains(letter) else { continue }
            flags[Character(Unicode.Scalar(letter))] = AnswerLine.printable(word.dropFirst())
        }
        self.flags = flags
    }
}

extension MemcacheConnection {
    /// Carries out a command of the meta protocol.
    /// - Throws: `MemcacheError`: with the code `clientError` for flags that cannot be, `notSupported` in the binary
    ///   dialect.
    public func meta(_ command: MetaCommand) async throws -> MetaAnswer {
        try await observer.observing(.meta) {
            let answer = try await self.answer { encoder in try encoder.meta(command) }
            guard let found = MetaAnswer(answer) else { throw self.observer.unexpected(answer) }
            return found
        }
    }
}
