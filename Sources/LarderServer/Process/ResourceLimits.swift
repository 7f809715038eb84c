import Glibc

/// What the process may use, raised before it gives up root.
package enum ResourceLimits {
    /// Descriptors for every client, each worker's loop and wake-up, and the few that all share.
    package static func openFiles(for settings: Settings) -> Int {
        settings.connectionLimit + settings.threadCount * 3 + 64
    }

    /// Raises the limit on open files to at least `count`; a higher one stays.
    package static func raiseOpenFiles(to count: Int) throws(StartupError) {
        var limit = rlimit()
        // SAFETY: both calls read or write the one local struct.
        guard getrlimit(openFiles, &limit) == 0 else { throw .openFileLimit }
        let wanted = rlim_t(count)
        if limit.rlim_cur >= wanted { return }
        limit.rlim_cur = wanted
        limit.rlim_max = max(limit.rlim_max, wanted)
        guard setrlimit(openFiles, &limit) == 0 else { throw .openFileLimit }
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
