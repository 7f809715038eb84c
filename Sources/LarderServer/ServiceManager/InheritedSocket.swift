import Glibc

/// A listening socket that the service manager has opened, as sd_listen_fds(3) describes it. Its clients may have
/// connected before the server started.
package struct InheritedSocket: Sendable, Equatable {
    /// The listening descriptor, non-blocking and closed on exec.
    let fd: Int32
    /// Whether it is a Unix socket.
    let isUnixSocket: Bool

    /// The number of the first descriptor that the service manager passes.
    private static let firstDescriptor: Int32 = 3
    private static let countMax = 64

    /// The sockets of LISTEN_FDS, and memory that an earlier process has left, by its name. None if LISTEN_PID names
    /// another process.
    static func takeAll(
        from environment: ServiceEnvironment, process: pid_t = getpid()
    ) throws(StartupError) -> (sockets: [InheritedSocket], memories: [String: Int32]) {
        let pid = environment.take("LISTEN_PID")
        let number = environment.take("LISTEN_FDS")
        let names = environment.take("LISTEN_FDNAMES")
        guard let pid, let number else { return ([], [:]) }
        guard let owner = pid_t(pid), owner > 0 else {
            throw .inheritedSocket("LISTEN_PID takes the id of a process, not \"\(printable(pid))\".")
        }
        guard owner == process else { return ([], [:]) }
        guard let count = Int(number), (0...countMax).contains(count) else {
            throw .inheritedSocket(
                "LISTEN_FDS takes a number of sockets from 0 to \(countMax), not \"\(printable(number))\".")
        }
        let titles = names?.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if let titles, titles.count != count {
            throw .inheritedSocket("LISTEN_FDNAMES has \(titles.count) names, and LISTEN_FDS has \(count) sockets.")
        }
        var sockets: [InheritedSocket] = []
        var memories: [String: Int32] = [:]
        for index in 0..<count {
            let fd = firstDescriptor + Int32(index)
            if let name = titles?[index], memories[name] == nil, KeptMemory.isMemory(fd, named: name) {
                memories[name] = fd
                continue
            }
            guard let socket = InheritedSocket(fd) else {
                let name = titles.map { " (\(printable($0[index])))" } ?? ""
                throw .inheritedSocket(
                    "LISTEN_FDS: descriptor \(fd)\(name) is not a listening socket for TCP or Unix clients; in a "
                        + "socket unit, ListenStream= makes one.")
            }
            sockets.append(socket)
        }
        return (sockets, memories)
    }

    /// nil: the descriptor is no listening TCP or Unix socket.
    init?(_ fd: Int32) {
        guard Self.option(SO_TYPE, of: fd) == Int32(SOCK_STREAM.rawValue), Self.option(SO_ACCEPTCONN, of: fd) == 1,
            let family = SocketAddress.local(of: fd)?.family, [AF_INET, AF_INET6, AF_UNIX].contains(family)
        else { return nil }
        let flags = fcntl(fd, F_GETFL)
        guard flags >= 0, fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0, fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 else {
            return nil
        }
        self.fd = fd
        isUnixSocket = family == AF_UNIX
        // The same options as on the server's own listeners. Clients inherit them.
        guard !isUnixSocket else { return }
        guard Listener.setClientOptions(fd) else { return nil }
    }

    static func option(_ name: Int32, of fd: Int32) -> Int32? {
        var value: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // SAFETY: the kernel writes at most the value's own size.
        return getsockopt(fd, SOL_SOCKET, name, &value, &length) == 0 ? value : nil
    }

    private static func printable(_ text: String) -> String { ConfigurationReport.printable(text) }
}

extension Listener {
    /// A listener that the service manager opened.
    init(_ socket: InheritedSocket, _ settings: Settings) {
        self.init(
            fd: socket.fd, isUnixSocket: socket.isUnixSocket,
            encryption: settings.tlsEnabled && !socket.isUnixSocket ? .asConfigured : .off)
    }
}
