import Glibc

/// A file or directory, which is closed with the last reference.
final class OpenFile: Sendable {
    let fd: Int32
    let path: String

    init(_ path: String, _ flags: Int32) throws(ReplicationError) {
        self.path = path
        fd = Glibc.open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard fd >= 0 else { throw SystemText.refused(path) }
    }

    deinit { Glibc.close(fd) }

    /// At most `count` bytes from an offset: fewer at the end of the file.
    func read(at offset: Int, count: Int) throws(ReplicationError) -> [UInt8] {
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: max(0, count)) { buffer, filled in
            // SAFETY: never more than the buffer's rest is read into it.
            while filled < count, let start = buffer.baseAddress {
                let got = pread(fd, start + filled, count - filled, off_t(offset + filled))
                if got < 0, errno == EINTR { continue }
                if got < 0 { failure = errno }
                guard got > 0 else { return }
                filled += got
            }
        }
        guard failure == 0 else { throw .logRefused(path: path, reason: SystemText.of(failure)) }
        return bytes
    }

    /// Writes all bytes. After an error some of them may have been written.
    func write(_ bytes: [UInt8], at offset: Int) throws(ReplicationError) {
        var done = 0
        while done < bytes.count {
            // SAFETY: `done` bytes of the array are left out, and no more are written than it has.
            let put = bytes.withUnsafeBytes { buffer -> Int in
                guard let start = buffer.baseAddress else { return 0 }
                return pwrite(fd, start + done, bytes.count - done, off_t(offset + done))
            }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { throw SystemText.refused(path) }
            done += put
        }
    }

    /// Syncs the contents to the disk.
    func sync() throws(ReplicationError) {
        while fdatasync(fd) != 0 {
            guard errno == EINTR else { throw SystemText.refused(path) }
        }
    }

    /// Syncs the names in a directory to the disk.
    func syncNames() throws(ReplicationError) {
        while fsync(fd) != 0 {
            guard errno == EINTR else { throw SystemText.refused(path) }
        }
    }

    var size: Int {
        var status = stat()
        return fstat(fd, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Waits for `flock`'s lock. The system releases it when the process ends, also by a kill.
    func lock(_ kind: Int32) throws(ReplicationError) {
        while flock(fd, kind) != 0 {
            guard errno == EINTR else { throw SystemText.refused(path) }
        }
    }

    /// Takes the lock if it is free.
    func tryLock() -> Bool { flock(fd, LOCK_EX | LOCK_NB) == 0 }

    func unlock() { _ = flock(fd, LOCK_UN) }
}

/// The system's texts for its errors.
enum SystemText {
    static func of(_ error: Int32) -> String {
        // SAFETY: `strerror` returns a string that ends with a zero, which is copied.
        String(cString: strerror(error))
    }

    /// The error of the last system call.
    static func refused(_ path: String) -> ReplicationError { .logRefused(path: path, reason: of(errno)) }
}

/// The system's record of a file; nil: there is no file of this name.
func fileStatus(of path: String) -> stat? {
    var status = stat()
    return stat(path, &status) == 0 ? status : nil
}

/// The inode number of a file; nil: there is no file of this name.
func fileNumber(of path: String) -> UInt64? { fileStatus(of: path).map { UInt64($0.st_ino) } }

/// Milliseconds of the monotonic clock.
func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    // SAFETY: fills in a struct that is lent to it.
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
