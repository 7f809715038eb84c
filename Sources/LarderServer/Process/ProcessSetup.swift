import Glibc

/// Turns the process that the shell started into the one that serves. All of it comes before the
/// first thread: a fork keeps only the thread that called it.
package enum ProcessSetup {
    /// Applies everything that `settings` ask for, in the order that makes it possible: limits while
    /// still root, then the user, then the fork (whose child inherits both, but no locked memory).
    ///
    /// - Parameter settings: `-c` becomes lower where the process may not open as many files.
    /// - Returns: a sentence about that, for the log.
    package static func prepare(_ settings: inout Settings) throws(StartupError) -> String? {
        ignoreBrokenPipes()
        if case .required = settings.hugePages { try HugePages.check() }
        if settings.raisesCoreLimit { try ResourceLimits.raiseCoreSize() }
        let notice = try ResourceLimits.allowClients(&settings)
        if settings.locksMemory { ResourceLimits.raiseLockedMemory() }
        try dropPrivileges(to: settings.userName)
        if settings.daemonizes {
            try daemonize(
                keepsDirectory: settings.raisesCoreLimit, keepsOutput: settings.verbosity > 0)
        }
        if settings.locksMemory { lockMemory() }
        return notice
    }

    /// A client that is gone shows as an error of the write, not as the end of the process.
    package static func ignoreBrokenPipes() {
        _ = signal(SIGPIPE, SIG_IGN)
    }

    /// Root becomes `user`, for good; anybody else stays who they are. Without a user root stays root,
    /// which memcached refuses: in a container it is the usual user, and confined from outside.
    package static func dropPrivileges(to user: String?) throws(StartupError) {
        guard getuid() == 0 || geteuid() == 0 else { return }
        guard let user, !user.isEmpty else { return }
        // SAFETY: the entry stays valid until the next call; the two numbers are copied out at once.
        guard let entry = getpwnam(user)?.pointee else { throw .unknownUser(user) }
        let (uid, gid) = (entry.pw_uid, entry.pw_gid)
        // EPERM: a container may already have taken the right to change groups away, and root's with it.
        if initgroups(user, gid) != 0, errno != EPERM { throw .supplementaryGroups(error: errno) }
        guard setgid(gid) == 0, setuid(uid) == 0 else { throw .identity(user: user, error: errno) }
    }

    /// `-d`: goes on in a child without a terminal; the caller's process ends here.
    package static func daemonize(
        keepsDirectory: Bool, keepsOutput: Bool
    ) throws(StartupError) {
        switch fork() {
        case -1: throw .daemon(error: errno)
        case 0: break
        default: _exit(0)
        }
        guard setsid() != -1 else { throw .daemon(error: errno) }
        // Not with -r: the core file is to land where the server was started.
        if !keepsDirectory, chdir("/") != 0 { throw .daemon(error: errno) }
        if !keepsOutput { silenceStandardStreams() }
    }

    private static func silenceStandardStreams() {
        let null = open("/dev/null", O_RDWR)
        guard null >= 0 else { return }
        for stream in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] { dup2(null, stream) }
        if null > STDERR_FILENO { close(null) }
    }

    /// `-k`: keeps all memory of the process, present and future, out of swap.
    private static func lockMemory() {
        if mlockall(Int32(MCL_CURRENT) | Int32(MCL_FUTURE)) != 0 {
            StandardError.write("warning: -k invalid, mlockall() failed: \(describe(error: errno))", .warning)
        }
    }
}
