import CLarderSystem
import Glibc
import Synchronization

/// The socket of `--takeover`.
enum TakeoverSocket {
    private static var type: Int32 { Int32(SOCK_SEQPACKET.rawValue | SOCK_CLOEXEC.rawValue) }
    private static let backlog: Int32 = 4

    /// Connects to the server that listens at a path; nil: there is none.
    static func connect(_ path: String) throws(StartupError) -> TakeoverChannel? {
        guard let address = SocketAddress(unixPath: path) else { throw refusal(path, ENAMETOOLONG) }
        let fd = socket(AF_UNIX, type, 0)
        guard fd >= 0 else { throw refusal(path, errno) }
        if address.withSockaddr({ Glibc.connect(fd, $0, $1) }) == 0 {
            guard larder_peer_user(fd) == Int64(geteuid()) else {
                close(fd)
                throw .takeover("--takeover \(path): the server there has another user; start this one as that user.")
            }
            return TakeoverChannel(fd)
        }
        let error = errno
        close(fd)
        guard error == ENOENT || error == ECONNREFUSED else { throw refusal(path, error) }
        return nil
    }

    /// Listens for this user's processes, if there is `--takeover`. A socket that a server has left is replaced.
    static func listen(_ settings: Settings) throws(StartupError) -> Int32? {
        guard let path = settings.takeoverPath else { return nil }
        guard let address = SocketAddress(unixPath: path) else { throw refusal(path, ENAMETOOLONG) }
        if larder_is_socket(path) { unlink(path) }
        let fd = socket(AF_UNIX, type | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard fd >= 0 else { throw refusal(path, errno) }
        guard fchmod(fd, 0o600) == 0, address.withSockaddr({ bind(fd, $0, $1) }) == 0, chmod(path, 0o600) == 0,
            Glibc.listen(fd, backlog) == 0
        else {
            let error = errno
            close(fd)
            throw refusal(path, error)
        }
        return fd
    }

    private static func refusal(_ path: String, _ error: Int32) -> StartupError {
        .takeover("--takeover \(path): \(describe(error: error))")
    }
}

/// The sockets of the former server. Who opens a socket for an address takes it from here if it is there.
enum AdoptedSockets {
    private static let sockets = Mutex<[Int32]>([])

    /// Adds sockets, in the order in which the former server opened them.
    static func add(_ descriptors: [Int32]) { sockets.withLock { $0 += descriptors } }

    /// A socket that is bound to this address; nil: there is none.
    /// - Parameter type: SOCK_STREAM or SOCK_DGRAM. A stream socket for any free port is the next one of the same host.
    static func take(_ type: __socket_type, _ address: SocketAddress) -> Int32? {
        let isAnyPort = address.port == 0
        if isAnyPort, type == SOCK_DGRAM { return nil }
        return sockets.withLock { sockets in
            guard !sockets.isEmpty else { return nil }
            let place = sockets.firstIndex { fd in
                guard InheritedSocket.option(SO_TYPE, of: fd) == Int32(type.rawValue),
                    let bound = SocketAddress.local(of: fd), bound.family == address.family
                else { return false }
                if address.family == AF_UNIX { return bound.text == address.text }
                return isAnyPort ? bound.isSameHost(as: address) : bound == address
            }
            return place.map { sockets.remove(at: $0) }
        }
    }

    /// Closes the sockets that the settings of this server do not name.
    static func closeRest() {
        let rest = sockets.withLock { sockets in
            defer { sockets = [] }
            return sockets
        }
        for fd in rest { close(fd) }
    }
}
