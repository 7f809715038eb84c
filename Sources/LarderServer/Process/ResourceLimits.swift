import Glibc

/// What the process may use, raised before it gives up root.
package enum ResourceLimits {
    /// Descriptors for every client, each worker's loop and wake-up, and the few that all share.
    package static func openFiles(for settings: Settings) -> Int {
        settings.connectionLimit + openFilesBesideClients(settings)
    }

    private static func openFilesBesideClients(_ settings: Settings) -> Int {
        // Two sockets for each address of `udp=`, and a sending socket for IPv4 and one for IPv6.
        let sync = settings.caches.reduce(0) { $0 + 2 * $1.udpAddresses.count + ($1.nodes.isEmpty ? 0 : 2) }
        return settings.threadCount * 3 + 64 + sync + settings.inheritedSockets.count
            + AdminServer.openFilesMax(settings)
    }

    /// Raises the limit on open files, so that `-c` clients fit. Where the system does not allow that, `-c` becomes as
    /// many as fit.
    ///
    /// - Returns: the sentence that says so, for the log; nil: all of them fit.
    package static func allowClients(_ settings: inout Settings) throws(StartupError) -> String? {
        let needed = openFiles(for: settings)
        let allowed = try raiseOpenFiles(to: needed)
        guard allowed < needed else { return nil }
        let asked = settings.connectionLimit
        let fits = allowed - openFilesBesideClients(settings)
        guard fits > 0 else { throw .openFileLimit(allowed: allowed, needed: needed) }
        settings.connectionLimit = fits
        return "larder: -c is \(fits), not \(asked): \(asked) clients need \(needed) open files, "
            + "and the limit is \(allowed) (raise it with ulimit -n, or LimitNOFILE= of systemd)"
    }

    /// Raises the limit on open files to `count`, or as near to it as the system allows; a higher one stays.
    ///
    /// - Returns: the limit.
    package static func raiseOpenFiles(to count: Int) throws(StartupError) -> Int {
        var limit = rlimit()
        // SAFETY: every call reads or writes the one local struct.
        guard getrlimit(openFiles, &limit) == 0 else { throw .openFileLimit(allowed: 0, needed: count) }
        let wanted = rlim_t(count)
        if limit.rlim_cur >= wanted { return Int(clamping: limit.rlim_cur) }
        let before = limit
        limit.rlim_cur = wanted
        limit.rlim_max = max(limit.rlim_max, wanted)
        if setrlimit(openFiles, &limit) == 0 { return count }
        limit = before
        limit.rlim_cur = limit.rlim_max
        return setrlimit(openFiles, &limit) == 0 ? Int(clamping: limit.rlim_cur) : Int(clamping: before.rlim_cur)
    }

    /// `-r`: no limit on the core file, or else the highest there is.
    package static func raiseCoreSize() throws(StartupError) {
        var limit = rlimit()
        // SAFETY: every call reads or writes local structs.
        guard getrlimit(coreSize, &limit) == 0 else { throw .coreLimit }
        var unlimited = rlimit(rlim_cur: rlim_t.max, rlim_max: rlim_t.max)
        if setrlimit(coreSize, &unlimited) != 0 {
            limit.rlim_cur = limit.rlim_max
            _ = setrlimit(coreSize, &limit)
        }
        guard getrlimit(coreSize, &limit) == 0, limit.rlim_cur > 0 else { throw .coreLimit }
    }

    /// `-k`, while still root: without it the user that the server becomes could not map memory once
    /// all of it is locked. A refusal shows when the memory is locked.
    static func raiseLockedMemory() {
        var unlimited = rlimit(rlim_cur: rlim_t.max, rlim_max: rlim_t.max)
        // SAFETY: the call reads the local struct.
        _ = setrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &unlimited)
    }

    private static var openFiles: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_NOFILE.rawValue) }
    private static var coreSize: __rlimit_resource_t { __rlimit_resource_t(RLIMIT_CORE.rawValue) }
}
