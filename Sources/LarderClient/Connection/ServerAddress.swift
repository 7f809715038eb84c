/// Where a server listens.
public enum ServerAddress: Sendable, Hashable, CustomStringConvertible {
    /// A host's name or IP address, and the port; memcached's own is 11211.
    case host(String, port: Int = 11211)
    /// The path of a Unix socket.
    case unixSocket(path: String)

    /// `host:port`, or the path.
    public var description: String {
        switch self {
        case .host(let name, let port): "\(name):\(port)"
        case .unixSocket(let path): path
        }
    }
}
