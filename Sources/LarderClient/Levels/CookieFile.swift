import Glibc

/// A cookie file, opened anew for each use: other programs may have put another one in its place.
///
/// A change holds a lock file beside it, reads it, writes all of it to a second file and puts that in its place, so
/// that whoever reads sees the old one or the new one.
struct CookieFile: Sendable {
    let path: String

    private static let lockAttemptsMax = 50
    private static let lockInterval = Duration.milliseconds(100)
    private static let bytesMax = 1 << 30

    private var lockPath: String { path + ".LCK" }
    private var newPath: String { path + ".tmp" }

    /// Its lines but for the header; none where there is no file.
    func read() throws(CacheError) -> [CookieLine] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else {
            guard errno == ENOENT else { throw failure("read") }
            return []
        }
        defer { close(file) }
        let bytes = try contents(file)
        var lines = bytes.split(separator: 0x0A).map { line in
            CookieLine(Array(line.last == 0x0D ? line.dropLast() : line))
        }
        lines.removeAll { $0.bytes.isEmpty }
        if lines.first?.bytes == CookieLine.header { lines.removeFirst() }
        return lines
    }

    /// Replaces its lines by what `body` makes of them, unless that is nothing new.
    func change<Result>(
        _ clock: CacheClock, _ body: (inout [CookieLine]) -> Result
    ) async throws(CacheError) -> Result {
        try await lock(clock)
        defer { unlink(lockPath) }
        var lines = try read()
        let before = lines
        let result = body(&lines)
        if lines != before { try replace(lines) }
        return result
    }

    /// Removes it.
    /// - Returns: what it had.
    func remove(_ clock: CacheClock) async throws(CacheError) -> [CookieLine] {
        try await lock(clock)
        defer { unlink(lockPath) }
        let lines = try read()
        guard unlink(path) == 0 || errno == ENOENT else { throw failure("remove") }
        return lines
    }

    private func lock(_ clock: CacheClock) async throws(CacheError) {
        for attempt in 1...Self.lockAttemptsMax {
            let file = open(lockPath, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
            if file >= 0 {
                close(file)
                return
            }
            guard errno == EEXIST else { throw failure("lock") }
            guard attempt < Self.lockAttemptsMax else { break }
            do {
                try await clock.sleep(Self.lockInterval)
            } catch {
                throw CacheError(.cancelled, "the task was cancelled", underlying: error)
            }
        }
        throw CacheError(
            .unavailable, "\(lockPath) stays there: remove it when no program is changing \(path)")
    }

    private func replace(_ lines: [CookieLine]) throws(CacheError) {
        var bytes = CookieLine.header + [0x0A]
        for line in lines { bytes += line.bytes + [0x0A] }
        // Cookies are secrets: the file is its owner's, unless it is somebody else's already.
        var status = stat()
        let mode = stat(path, &status) == 0 ? status.st_mode & 0o777 : 0o600
        // A file that a killed process left. No other process writes it while this one has the lock. `unlink` does not
        // follow a link.
        unlink(newPath)
        let file = open(newPath, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, mode)
        guard file >= 0 else { throw failure("write") }
        let isWritten = fchmod(file, mode) == 0 && write(bytes, to: file) && fsync(file) == 0
        let cause = errno
        guard close(file) == 0, isWritten, rename(newPath, path) == 0 else {
            let error = failure("write", isWritten ? errno : cause)
            unlink(newPath)
            throw error
        }
    }

    private func write(_ bytes: [UInt8], to file: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private func contents(_ file: Int32) throws(CacheError) -> [UInt8] {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(file, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("read") }
            if count == 0 { return bytes }
            bytes += chunk[..<count]
            guard bytes.count <= Self.bytesMax else {
                throw CacheError(
                    .unavailable, "\(path) is no cookie file: it has more than \(Self.bytesMax) bytes")
            }
        }
    }

    private func failure(_ verb: String, _ number: Int32 = errno) -> CacheError {
        CacheError(.unavailable, "cannot \(verb) \(path): \(String(cString: strerror(number)))")
    }
}
