import Glibc
import LarderTLS

/// The paths as given on the command line, for `stats settings`.
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
    /// The settings with absolute paths. A daemon leaves the directory that relative paths begin at, and SIGHUP reads
    /// files again.
    package func withAbsolutePaths() throws(StartupError) -> Settings {
        // SAFETY: getcwd allocates its result, which is copied and freed here.
        guard let directory = getcwd(nil, 0) else {
            // Only a daemon changes its directory, so only a daemon needs absolute paths.
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
            // A socket's path has room for about a hundred bytes. The relative path works as long as the directory
            // stays.
            let isTooLong = SocketAddress(unixPath: longer) == nil
            return isTooLong && !daemonizes ? path : longer
        }
        func absolutePlace(_ place: CacheSettings.Place) -> CacheSettings.Place {
            guard case .unix(let path) = place else { return place }
            return .unix(path: absoluteSocket(path))
        }
        var settings = self
        settings.givenPaths = GivenPaths(self)
        settings.unixSocketPath = unixSocketPath.map(absoluteSocket)
        settings.storePath = storePath.map(absolute)
        settings.startDirectory = directory
        settings.takeoverPath = takeoverPath.map(absoluteSocket)
        settings.pidFilePath = pidFilePath.map(absolute)
        settings.userFilePath = userFilePath.map(absolute)
        settings.tls.chainPath = tls.chainPath.map(absolute)
        settings.tls.keyPath = tls.keyPath.map(absolute)
        settings.tls.authorityPath = tls.authorityPath.map(absolute)
        settings.uwsgiPlaces = uwsgiPlaces.map(absolutePlace)
        settings.statisticsPlaces = statisticsPlaces.map(absolutePlace)
        for index in settings.caches.indices {
            settings.caches[index].storePath = caches[index].storePath.map(absolute)
            settings.caches[index].places = caches[index].places.map(absolutePlace)
            settings.caches[index].copiedPlaces = caches[index].copiedPlaces.map(absolutePlace)
        }
        return settings
    }
}
