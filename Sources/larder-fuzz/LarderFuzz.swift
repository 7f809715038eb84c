import Glibc

/// The program of `make fuzz`: one function for each kind of bytes from outside, and libFuzzer to find inputs for it.
///
/// A fuzzing build links libFuzzer. libFuzzer's arguments follow `--target`; it ignores arguments that begin with two
/// dashes and passes them to its child processes. Any other build can only run given inputs.
@main struct LarderFuzz {
    private static let usage = """
        usage: larder-fuzz --target=NAME FILE...           run inputs
               larder-fuzz --target=NAME [-OPTION=...] DIR...   libFuzzer's own arguments (make fuzz)
               larder-fuzz --seeds=NAME CONVERSATIONS DIR  write the first inputs, made from the conversations
        targets: \(FuzzTarget.allCases.map(\.rawValue).joined(separator: " "))

        """

    static func main() {
        signal(SIGPIPE, SIG_IGN)
        let arguments = CommandLine.arguments
        guard arguments.count > 1, let separator = arguments[1].firstIndex(of: "="),
            let target = FuzzTarget(rawValue: String(arguments[1][separator...].dropFirst()))
        else { end(usage, 64) }
        switch arguments[1][..<separator] {
        case "--target":
            Running.start(target)
            if let driver = FuzzerDriver() { exit(driver.run()) }
            for path in arguments.dropFirst(2) { replay(path) }
        case "--seeds" where arguments.count == 4:
            do {
                try Seeds(target).write(conversations: arguments[2], into: arguments[3])
            } catch {
                end("larder-fuzz: \(error)\n", 1)
            }
        default: end(usage, 64)
        }
    }

    private static func replay(_ path: String) {
        do {
            Running.run(try Files.bytes(of: path))
        } catch {
            end("larder-fuzz: \(error)\n", 1)
        }
    }

    private static func end(_ text: String, _ code: Int32) -> Never {
        Files.write(text, to: STDERR_FILENO)
        exit(code)
    }
}

/// The target of this process.
enum Running {
    // SAFETY: the process has one thread.
    nonisolated(unsafe) private static var target: (any Fuzzed)?

    static func start(_ kind: FuzzTarget) { target = kind.make() }

    static func run(_ input: [UInt8]) { target?.run(input) }
}

/// A fuzz target: runs one input.
protocol Fuzzed {
    func run(_ input: [UInt8])
}

enum FuzzTarget: String, CaseIterable {
    case text, meta, binary, uwsgi, login, datagram, reader, file, conversation

    func make() -> any Fuzzed {
        switch self {
        case .text, .meta: TextTarget()
        case .binary: BinaryTarget()
        case .uwsgi: UwsgiTarget()
        case .login: LoginTarget()
        case .datagram: DatagramTarget()
        case .reader: ReaderTarget()
        case .file: FileTarget()
        case .conversation: ConversationTarget()
        }
    }
}

/// Reports a fault, and ends the process in a way that libFuzzer notices.
///
/// Writes to standard output, since `make fuzz` discards standard error.
func fault(_ text: String) -> Never {
    Files.write("larder-fuzz: \(text)\n", to: STDOUT_FILENO)
    abort()
}
