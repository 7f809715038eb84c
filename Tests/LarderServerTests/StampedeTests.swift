import LarderTesting
import Testing

/// Many clients at one cold key: one of them is told to make the value.
@Suite struct StampedeTests {
    private static let clients = 50
    private static let keys = 20

    @Test(arguments: [1, 4])
    func oneOfManyWins(threads: Int) throws {
        let server = try ServerProcess(executable: TestServers.larder, arguments: ["-t", "\(threads)"])
        let clients = try (0..<Self.clients).map { _ in try SocketClient(server.endpoint) }
        for key in 0..<Self.keys {
            #expect(try winners(clients, asking: "mg cold\(key) N30 v", values: 1) == 1)
            // Stale, it is won once more; and once more when its time runs out.
            try clients[0].send(Array("ms cold\(key) 1 T20\r\nv\r\nmd cold\(key) I\r\n".utf8))
            #expect(try clients[0].receive(count: 8) == Array("HD\r\nHD\r\n".utf8))
            #expect(try winners(clients, asking: "mg cold\(key) v", values: 1) == 1)
            try clients[0].send(Array("ms cold\(key) 1 T20\r\nv\r\n".utf8))
            #expect(try clients[0].receive(count: 4) == Array("HD\r\n".utf8))
            #expect(try winners(clients, asking: "mg cold\(key) v R30", values: 1) == 1)
        }
    }

    /// All send before any is answered to; how many were told that they won.
    private func winners(_ clients: [SocketClient], asking command: String, values: Int) throws -> Int {
        for client in clients { try client.send(Array("\(command)\r\n".utf8)) }
        return try clients.reduce(0) { wins, client in
            let header = String(decoding: try client.receiveLine(), as: UTF8.self)
            _ = try client.receiveLine()
            return wins + (header.hasSuffix(" W\r\n") ? 1 : 0)
        }
    }
}
