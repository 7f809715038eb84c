import Glibc

/// Where a server of a test listens.
package enum ServerEndpoint: Sendable, CustomStringConvertible {
    /// A port of 127.0.0.1.
    case tcp(port: Int)
    case unix(path: String)

    package var description: String {
        switch self {
        case .tcp(let port): "127.0.0.1:\(port)"
        case .unix(let path): path
        }
    }
}

/// Why a server did not come up.
package struct ServerStartError: Error, CustomStringConvertible, Sendable {
    package let description: String
}

/// A server in a process of its own: Larder or a real memcached.
///
/// It gets a free port, or a socket file, in a directory of its own. `stop()` asks it to
/// end and waits until it has, which takes memcached a second; it is ended at once when the
/// last reference goes.
package final class ServerProcess {
    package enum Transport: Sendable {
        case tcp, unix
    }

    /// Where to connect.
    package let endpoint: ServerEndpoint
    private let child: ChildProcess
    private let directory: String

    /// Starts `executable` and waits until it accepts connections.
    ///
    /// - Parameter arguments: memcached's options, but for those that say where to listen.
    package init(
        executable: String, arguments: [String] = [], transport: Transport = .tcp,
        patienceMilliseconds: Int64 = 10_000
    ) throws {
        directory = try TestDirectory.make()
        do {
            let portFile = directory + "/port"
            let socketPath = directory + "/socket"
            let output = directory + "/output"
            child = try ChildProcess(
                executable: executable,
                arguments: Self.listening(on: transport, socketPath) + Self.user + arguments,
                environment: ["MEMCACHED_PORT_FILENAME": portFile], outputPath: output)
            do {
                endpoint = try Self.awaitReadiness(
                    of: child, transport, portFile: portFile, socketPath: socketPath,
                    Deadline(milliseconds: patienceMilliseconds))
            } catch {
                child.stop()
                let said = TestDirectory.text(of: output) ?? ""
                throw ServerStartError(description: "\(executable) \(arguments): \(error)\n\(said)")
            }
        } catch {
            TestDirectory.remove(directory)
            throw error
        }
    }

    deinit {
        child.end()
        TestDirectory.remove(directory)
    }

    /// What the server is to the system.
    package var processIdentifier: Int32 { child.identifier }

    /// Asks the server to end, and waits until it has.
    package func stop() {
        child.stop()
        TestDirectory.remove(directory)
    }

    /// What `executable -V` prints after the program's name.
    package static func version(of executable: String) throws -> String {
        let directory = try TestDirectory.make()
        defer { TestDirectory.remove(directory) }
        let output = directory + "/output"
        let child = try ChildProcess(
            executable: executable, arguments: ["-V"], environment: [:], outputPath: output)
        child.awaitEnd()
        let words = (TestDirectory.text(of: output) ?? "").split { $0 == " " || $0 == "\n" }
        return words.count > 1 ? String(words[1]) : ""
    }

    /// The `larder` program: `LARDER_BINARY`, else the one built together with the tests.
    package static var larder: String {
        if let named = getenv("LARDER_BINARY"), named.pointee != 0 { return String(cString: named) }
        // In the directory of the test program, which is one of the arguments on some systems.
        let candidates = CommandLine.arguments.map { argument in
            argument.lastIndex(of: "/").map { "\(argument[...$0])larder" } ?? "./larder"
        }
        return candidates.first { access($0, X_OK) == 0 } ?? candidates[0]
    }

    private static func listening(on transport: Transport, _ socketPath: String) -> [String] {
        switch transport {
        case .tcp: ["-l", "127.0.0.1", "-p", "-1", "-U", "0"]
        case .unix: ["-s", socketPath]
        }
    }

    /// memcached's kind of server does not run as root unless told to.
    private static var user: [String] { geteuid() == 0 ? ["-u", "root"] : [] }

    private static func awaitReadiness(
        of child: ChildProcess, _ transport: Transport, portFile: String, socketPath: String,
        _ deadline: Deadline
    ) throws -> ServerEndpoint {
        while child.isRunning, !deadline.hasPassed {
            switch transport {
            case .tcp:
                if let port = port(in: portFile) { return .tcp(port: port) }
            case .unix:
                let endpoint = ServerEndpoint.unix(path: socketPath)
                if (try? SocketClient(endpoint)) != nil { return endpoint }
            }
            _ = poll(nil, 0, 1)
        }
        throw ServerStartError(description: child.isRunning ? "does not listen" : "ended at once")
    }

    /// The port in a file of lines like `TCP INET: 40123`.
    private static func port(in file: String) -> Int? {
        guard let text = TestDirectory.text(of: file) else { return nil }
        for line in text.split(separator: "\n") where line.hasPrefix("TCP INET: ") {
            return Int(line.dropFirst("TCP INET: ".count))
        }
        return nil
    }
}
