import Glibc

/// Reports the ports that are listened on to whoever started the server with any free port: test
/// tools wait for the file that MEMCACHED_PORT_FILENAME names.
package enum PortFile {
    /// Writes the file when the environment asks for it. Trouble is reported and does not stop the server.
    package static func writeIfRequested(_ listeners: [Listener], _ sockets: [DatagramSocket]) {
        // SAFETY: the text is copied at once; nothing in this process changes the environment.
        guard let variable = getenv("MEMCACHED_PORT_FILENAME") else { return }
        write(listeners, sockets, to: String(cString: variable))
    }

    static func write(_ listeners: [Listener], _ sockets: [DatagramSocket] = [], to path: String) {
        // A Unix socket has no port, and memcached then writes no file; without any place it writes an empty one.
        let lines = listeners.compactMap { line("TCP", $0.address) } + sockets.compactMap { line("UDP", $0.address) }
        guard !lines.isEmpty || listeners.isEmpty else { return }
        do throws(FileReplacementError) {
            try replaceFile(at: path, through: path + ".lck", with: lines.joined())
        } catch {
            StandardError.write("Failed to open \"\(error.path)\": \(describe(error: error.error))", .warning)
        }
    }

    private static func line(_ transport: String, _ address: SocketAddress?) -> String? {
        guard let address, let port = address.port else { return nil }
        return address.family == AF_INET6 ? "\(transport) INET6: \(port)\n" : "\(transport) INET: \(port)\n"
    }
}
