import Glibc
import LarderServer

/// Whole conversations with a server without sockets: all parsers, all commands, the store and the encoders.
///
/// Checks the store's invariants at the end, and that the answers do not depend on how the input is split.
final class ConversationTarget: Fuzzed {
    /// Little memory, so that it is full soon.
    private static let small = ["-m", "2", "-I", "64k"]
    private static let users = "nobody:nothing\nfoo:bar\n"

    static let options: [[String]] = [
        small, ["-m", "8", "-A"], small + ["-C"], small + ["-M"], small + ["-F", "-X", "-W"],
        small + ["-B", "binary"],
        small + ["-B", "ascii", "-R", "1"], small + ["-Y", "USERS"], small + ["-S", "-Y", "USERS"],
        small + ["-o", "relaxed_privileges"],
        ["--cache", "name=default,items=4,blocksize=8,blocks=10,bitmap=1"],
        ["--cache", "name=default,items=3,blocksize=64,purge_lru=1,math_initial=7"],
        [
            "-m", "2", "--key-route", "--cache", "name=a,items=2,blocksize=8", "--cache",
            "name=b,items=40,blocksize=16,purge_lru=1",
        ],
    ]
    /// The options of the compared conversations: the memory is never full, and there are no logins.
    private static let comparable = 1

    private let usersPath: String
    private var counters = 0

    init() {
        usersPath = "/tmp/larder-fuzz-users-\(getpid())"
        do {
            try Files.write(Array(Self.users.utf8), to: usersPath)
        } catch {
            fault("\(error)")
        }
        chmod(usersPath, 0o600)
    }

    deinit { unlink(usersPath) }

    func run(_ input: [UInt8]) {
        guard let script = Script(input) else { return }
        let number = script.comparesBytes ? Self.comparable : script.options % Self.options.count
        let options = Self.options[number].map { $0 == "USERS" ? usersPath : $0 }
        var whole = Talk(options)
        // A full check of a store takes longer than most conversations.
        whole.run(script, piece: Int.max, checksAtEnd: input.count % 8 == 0)
        guard script.comparesBytes, !whole.depends else { return }
        var single = Talk(options)
        single.run(script, piece: 1, checksAtEnd: false)
        if single.answers != whole.answers, !single.depends {
            fault(
                "the answers depend on where the input is cut:\n\(whole.text)\nbyte by byte:\n\(single.text)")
        }
    }
}

/// A server and three clients.
private struct Talk {
    private let server: InProcessServer
    private let clients: [InProcessConnection]
    private(set) var answers: [[UInt8]]
    /// Whether each reading of the clock advances it.
    private var ticks = false
    /// Whether a long line has no end. The parser gives such a line up at a point that depends on the split.
    private var hasLongLine = false

    init(_ options: [String]) {
        let server = Servers.make(options)
        self.server = server
        clients = (0..<3).map { _ in InProcessConnection(server) }
        answers = clients.map { _ in [] }
    }

    mutating func run(_ script: Script, piece: Int, checksAtEnd: Bool) {
        for step in script.steps {
            switch step {
            case .send(let client, let bytes):
                send(bytes, to: client, piece: piece)
            case .advance(let milliseconds): server.advanceClock(milliseconds: milliseconds)
            case .tick(let milliseconds):
                server.advanceClock(millisecondsPerLook: milliseconds)
                ticks = true
            case .check: Servers.check(server)
            }
        }
        if checksAtEnd { Servers.check(server) }
    }

    private mutating func send(_ bytes: [UInt8], to client: Int, piece: Int) {
        if bytes.split(separator: UInt8(ascii: "\n")).contains(where: { $0.count > 1000 }) {
            hasLongLine = true
        }
        var start = 0
        repeat {
            let end = piece < bytes.count - start ? start + piece : bytes.count
            answers[client] += clients[client].receive(Array(bytes[start..<end]))
            start = end
        } while start < bytes.count
    }

    /// Whether the answers may depend on the split. True for statistics, dumps, lines for watchers, and for commands
    /// that memcached refuses behind answers that are not sent yet (`ERROR cannot pipeline other commands before`).
    var depends: Bool {
        hasLongLine || ticks
            || answers.contains { answer in
                Self.dependentWords.contains { Self.contains(answer, $0) }
            }
    }

    /// The last entry is the header of a binary statistic.
    private static let dependentWords: [[UInt8]] =
        ["STAT", "key=", "ts=", "gid=", "mg ", "PREFIX", "cannot pipeline"].map { Array($0.utf8) } + [[0x81, 0x10]]

    private static func contains(_ bytes: [UInt8], _ word: [UInt8]) -> Bool {
        guard bytes.count >= word.count else { return false }
        return bytes.indices.dropLast(word.count - 1).contains {
            bytes[$0] == word[0] && bytes[$0..<$0 + word.count] == word[...]
        }
    }

    var text: String {
        answers.map { String(decoding: $0, as: UTF8.self).debugDescription }.joined(separator: "\n")
    }
}
