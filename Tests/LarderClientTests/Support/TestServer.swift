import Foundation
import LarderTesting
import Logging

@testable import LarderClient

/// A server of a test's own: the real program, in a process that ends with the last reference.
final class TestServer: @unchecked Sendable {
    // @unchecked: only `stop` changes anything, and each test calls it from one task.
    private let process: ServerProcess

    /// Where it listens.
    let address: ServerAddress

    init(transport: ServerProcess.Transport = .unix, arguments: [String] = [], executable: String = larder)
        throws
    {
        process = try ServerProcess(executable: executable, arguments: arguments, transport: transport)
        address =
            switch process.endpoint {
            case .tcp(let port): .host("127.0.0.1", port: port)
            case .unix(let path): .unixSocket(path: path)
            }
    }

    /// Ends it and waits until it has.
    func stop() { process.stop() }

    /// What it is to the system.
    var processIdentifier: Int32 { process.processIdentifier }

    /// Patient, for machines that are busy.
    var configuration: ConnectionConfiguration {
        var configuration = ConnectionConfiguration()
        configuration.connectTimeout = .seconds(30)
        configuration.requestTimeout = .seconds(30)
        return configuration
    }

    /// A connection that opens when it is first used.
    func connection(_ configure: (inout ConnectionConfiguration) -> Void = { _ in }) -> MemcacheConnection {
        var configuration = configuration
        configure(&configuration)
        return MemcacheConnection(to: address, configuration: configuration)
    }

    /// How many connections there are, but for the one that asks.
    func connectionCount() throws -> Int {
        let client = try SocketClient(process.endpoint)
        try client.send(Array("stats\r\n".utf8))
        while case let line = String(decoding: try client.receiveLine(), as: UTF8.self),
            !line.hasPrefix("END")
        {
            let words = line.split { $0.isWhitespace }
            if words.count == 3, words[1] == "curr_connections" { return (Int(words[2]) ?? 0) - 1 }
        }
        return -1
    }

    /// The `larder` program: `LARDER_BINARY`, else the one built together with these tests.
    static var larder: String { ServerProcess.larder }

    /// Debian's memcached, which is older than what Larder follows.
    static var memcached: String {
        ProcessInfo.processInfo.environment["MEMCACHED_BINARY"].flatMap { $0.isEmpty ? nil : $0 }
            ?? "/usr/bin/memcached"
    }
}

extension ConnectionConfiguration {
    /// For tests in which things go wrong on purpose.
    mutating func silence() { logger.logLevel = .critical }
}
