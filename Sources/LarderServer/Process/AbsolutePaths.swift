import Glibc
import LarderTLS

/// Paths as the command line gave them, for `stats settings`.
struct GivenPaths: Sendable {
    let unixSocket: String?
    let store: String?
    let userFile: String?
    let chain: String?
    let key: String?
    let authority: String?

    init(_ settings: Settings) {
        unixSocket = settings.unixSocketPath
        store = settings.storePath
        userFile = settings.userFilePath
        chain = settings.tls.chainPath
        key = settings.tls.keyPath
        authority = settings.tls.authorityPath
    }
}

extension Settings {
    /// The same with every path as it is from the root. A daemon leaves the directory that the relative ones begin at,
    /// and files are read again on SIGHUP.
    package func withAbsolutePaths() throws(StartupError) -> Settings {
        // SAFETY: getcwd allocates what it returns, which is copied and freed.
        guard let directory = getcwd(nil, 0) else {
            // Only a daemon leaves it.
            if daemonizes { throw .startDirectory(error: errno) }
            return self
        }
        defer { free(directory) }
        return withPaths(from: String(cString: directory))
    }

    func withPaths(from directory: String) -> Settings {
        func absolute(_ path: String) -> String {
            path.isEmpty || path.hasPrefix("/") ? path : directory + (directory.hasSuffix("/") ? "" : "/") + path
        }
        func absoluteSocket(_ path: String) -> String {
            let longer = absolute(path)
            // A socket's path has room for some hundred bytes. The relative one serves as long as the directory stays.
            let isTooLong = SocketAddress(unixPath: longer) == nil
            return isTooLong && !daemonizes ? path : longer
        }
        var settings = self
        settings.givenPaths = GivenPaths(self)
        settings.unixSocketPath = unixSocketPath.map(absoluteSocket)
        settings.storePath = storePath.map(absolute)
        settings.pidFilePath = pidFilePath.map(absolute)
        settings.userFilePath = userFilePath.map(absolute)
        settings.tls.chainPath = tls.chainPath.map(absolute)
        settings.tls.keyPath = tls.keyPath.map(absolute)
        settings.tls.authorityPath = tls.authorityPath.map(absolute)
        for index in settings.caches.indices {
            settings.caches[index].storePath = caches[index].storePath.map(absolute)
            settings.caches[index].places = caches[index].places.map { place in
                guard case .unix(let path) = place else { return place }
                return .unix(path: absoluteSocket(path))
            }
        }
        return settings
    }
}
