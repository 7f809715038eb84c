import Glibc

/// The file of `-P`. Trouble with it is reported and does not stop the server, as in memcached.
package enum PidFile {
    /// Writes this process's id, and warns when the file names another process that runs.
    package static func write(to path: String) {
        if let running = runningProcess(in: path) {
            StandardError.write(
                "WARNING: The pid file contained the following (running) pid: \(running)", .warning)
        }
        do throws(FileReplacementError) {
            try replaceFile(at: path, through: path + ".tmp", with: "\(getpid())\n")
        } catch {
            StandardError.write(
                "Could not write the pid file \(error.path): \(describe(error: error.error))", .warning)
        }
    }

    /// Removes the file; the server does so at its end when it is a daemon.
    package static func remove(at path: String) {
        if unlink(path) != 0 {
            StandardError.write("Could not remove the pid file \(path): \(describe(error: errno))", .warning)
        }
    }

    static func runningProcess(in path: String) -> pid_t? {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var bytes = [UInt8](repeating: 0, count: 32)
        // SAFETY: at most the array's own length is read into it.
        let count = read(fd, &bytes, bytes.count)
        guard count > 0 else { return nil }
        let line = bytes[..<count].prefix { $0 != UInt8(ascii: "\n") }
        guard let pid = pid_t(String(decoding: line, as: UTF8.self)), pid > 0, pid != getpid() else {
            return nil
        }
        return kill(pid, 0) == 0 ? pid : nil
    }
}
