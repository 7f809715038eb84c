import Glibc

/// A program that a test started, with nothing on its input and its output in a file.
///
/// It begins with no signal blocked or ignored, whatever the test's own threads do: a
/// server that cannot be asked to end would outlive the tests.
package final class ChildProcess {
    /// What the program is to the system.
    package let identifier: Int32
    private var hasEnded = false
    private var waitStatus: Int32 = 0

    /// - Parameter environment: What to add to the test's own.
    package init(
        executable: String, arguments: [String], environment: [String: String], outputPath: String
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, outputPath, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        Self.keepOpenFilesToOneself()

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        let variables = Self.ownEnvironment.merging(environment) { _, new in new }
        var argumentPointers = ([executable] + arguments).map { strdup($0) } + [nil]
        var variablePointers = variables.map { strdup("\($0.key)=\($0.value)") } + [nil]
        defer {
            for pointer in argumentPointers + variablePointers { free(pointer) }
        }
        var identifier: pid_t = 0
        let result = posix_spawn(
            &identifier, executable, &actions, &attributes, &argumentPointers, &variablePointers)
        guard result == 0 else {
            throw ServerStartError(description: "\(executable): \(String(cString: strerror(result)))")
        }
        self.identifier = identifier
    }

    deinit {
        end()
    }

    private static var ownEnvironment: [String: String] {
        var variables: [String: String] = [:]
        var next = environ
        while let entry = next.pointee {
            let parts = String(cString: entry).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
            next += 1
        }
        return variables
    }

    /// What tests of the same process have open is not the child's: memcached counts it against its own limit.
    private static func keepOpenFilesToOneself() {
        guard let directory = opendir("/proc/self/fd") else { return }
        defer { closedir(directory) }
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if let number = Int32(name), number > STDERR_FILENO { _ = fcntl(number, F_SETFD, FD_CLOEXEC) }
        }
    }

    /// Whether the program has ended, and well.
    package var hasSucceeded: Bool { hasEnded && waitStatus == 0 }

    /// Whether the program has not ended yet.
    package var isRunning: Bool {
        if !hasEnded { hasEnded = waitpid(identifier, &waitStatus, WNOHANG) != 0 }
        return !hasEnded
    }

    /// Asks the program to end and waits until it has; after ten seconds, ends it.
    package func stop() {
        guard isRunning else { return }
        kill(identifier, SIGTERM)
        let deadline = Deadline(milliseconds: 10_000)
        while isRunning, !deadline.hasPassed { _ = poll(nil, 0, 1) }
        end()
    }

    /// Ends the program at once.
    package func end() {
        guard isRunning else { return }
        kill(identifier, SIGKILL)
        awaitEnd()
    }

    /// Waits until the program has ended by itself.
    package func awaitEnd() {
        while !hasEnded {
            if waitpid(identifier, &waitStatus, 0) != -1 || errno != EINTR { hasEnded = true }
        }
    }
}
