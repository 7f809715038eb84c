import CBenchSystem
import Glibc

/// `larder-readers`: proves and measures reading a store in place while a server writes it.
///
/// `write` loads a server with values that tell what they are, `read` reads them from the server's file in
/// another process and judges each, `time` measures.
@main
struct LarderReaders {
    nonisolated static func main() {
        signal(SIGPIPE, SIG_IGN)
        let words = (0..<bench_argument_count()).map { String(cString: bench_argument($0)) }
        let arguments = Array(words.dropFirst())
        do {
            switch arguments.first {
            case "write": exit(try runWriter(Options(arguments)))
            case "read": exit(try runReader(Options(arguments)))
            case "time": exit(try runTimer(Options(arguments)))
            default: throw Complaint(text: usage)
            }
        } catch {
            let text = Array("\(error)\n".utf8)
            write(STDERR_FILENO, text, text.count)
            exit(2)
        }
    }

    private static let usage = """
        usage: larder-readers write --port N --acknowledged FILE [--keys N] [--seed N] [--flushes N]
               larder-readers read --store FILE --acknowledged FILE --reads N [--keys N] [--seed N]
               larder-readers time --store FILE --reads N [--keys N] [--length N] [--pread 1]
        """
}

struct Complaint: Error, CustomStringConvertible {
    var text: String
    var description: String { text }
}

/// `--name value` for each.
struct Options {
    private var values: [String: String] = [:]

    init(_ arguments: [String]) throws(Complaint) {
        var rest = arguments.dropFirst()
        while let name = rest.popFirst() {
            guard name.hasPrefix("--"), let value = rest.popFirst() else {
                throw Complaint(text: "\(name) needs a value")
            }
            values[String(name.dropFirst(2))] = value
        }
    }

    func text(_ name: String) throws(Complaint) -> String {
        guard let value = values[name] else { throw Complaint(text: "--\(name) is missing") }
        return value
    }
    func number(_ name: String, _ standard: Int) throws(Complaint) -> Int {
        guard let text = values[name] else { return standard }
        guard let number = Int(text), number >= 0 else { throw Complaint(text: "--\(name) takes a number") }
        return number
    }
}

func nanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
