import Glibc
import Synchronization

/// A file or directory, which is closed with the last reference.
final class OpenFile: Sendable {
    let fd: Int32
    let path: String
    /// Whether the disk may lack bytes that were written: Linux tells that once, and the next call succeeds.
    private let isDoubtful = Mutex(false)

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
        guard writeSome(bytes, at: offset) == bytes.count else { throw SystemText.refused(path) }
    }

    /// Writes bytes.
    /// - Returns: how many are there. If they are not all, `errno` has the reason.
    func writeSome(_ bytes: [UInt8], at offset: Int) -> Int {
        var done = 0
        while done < bytes.count {
            // SAFETY: `done` bytes of the array are left out, and no more are written than it has.
            let put = bytes.withUnsafeBytes { buffer -> Int in
                guard let start = buffer.baseAddress else { return 0 }
                return pwrite(fd, start + done, bytes.count - done, off_t(offset + done))
            }
            if put < 0, errno == EINTR { continue }
            guard put > 0 else { return done }
            done += put
        }
        return done
    }

    /// Syncs the contents to the disk.
    /// - Throws: also if an earlier call failed, until `writeAgain` has succeeded.
    func sync() throws(ReplicationError) {
        try isDoubtful.withLock { (isDoubtful: inout sending Bool) throws(ReplicationError) in
            try requireCertain(isDoubtful)
            try syncData(&isDoubtful)
        }
    }

    /// - Throws: if a `sync` has failed.
    func requireSynced() throws(ReplicationError) {
        try isDoubtful.withLock { (isDoubtful: inout sending Bool) throws(ReplicationError) in
            try requireCertain(isDoubtful)
        }
    }

    private func requireCertain(_ isDoubtful: Bool) throws(ReplicationError) {
        if isDoubtful { throw .logRefused(path: path, reason: "the disk may lack bytes that were written before") }
    }

    private func syncData(_ isDoubtful: inout Bool) throws(ReplicationError) {
        while fdatasync(fd) != 0 {
            if errno == EINTR { continue }
            isDoubtful = true
            throw SystemText.refused(path)
        }
    }

    /// Marks the file as after a failed `sync`.
    func doubt() { isDoubtful.withLock { $0 = true } }

    /// After a failed `sync`, writes the bytes up to an offset once more, and syncs them. The caller has
    /// found them to be those that were written.
    func writeAgain(upTo end: Int) throws(ReplicationError) {
        try isDoubtful.withLock { (isDoubtful: inout sending Bool) throws(ReplicationError) in
            var offset = 0
            while offset < end {
                let bytes = try read(at: offset, count: min(1 << 20, end - offset))
                guard !bytes.isEmpty else { break }
                try write(bytes, at: offset)
                offset += bytes.count
            }
            try syncData(&isDoubtful)
            isDoubtful = false
        }
    }

    /// Whether a `sync` has failed.
    var mayLackBytes: Bool { isDoubtful.withLock { $0 } }

    /// Syncs the names in a directory to the disk.
    func syncNames() throws(ReplicationError) {
        while fsync(fd) != 0 {
            guard errno == EINTR else { throw SystemText.refused(path) }
        }
    }

    /// Whether the file's path still names it.
    var isAtItsPath: Bool {
        var own = stat()
        guard fstat(fd, &own) == 0, let found = fileStatus(of: path) else { return false }
        return own.st_dev == found.st_dev && own.st_ino == found.st_ino
    }

    var size: Int {
        var status = stat()
        return fstat(fd, &status) == 0 ? Int(status.st_size) : 0
    }

    /// Waits for `flock`'s lock. The system releases it when the process ends, also by a kill.
    /// - Throws: `.logRefused` if another process keeps the lock for so long. That process was probably stopped.
    func lock(milliseconds: Int) throws(ReplicationError) {
        let deadline = monotonicMilliseconds(in: milliseconds)
        var pauseMicroseconds: UInt32 = 20
        while flock(fd, LOCK_EX | LOCK_NB) != 0 {
            if errno == EINTR { continue }
            guard errno == EWOULDBLOCK else { throw SystemText.refused(path) }
            guard monotonicMilliseconds() < deadline else {
                throw .logRefused(path: path, reason: "another process holds the log")
            }
            usleep(pauseMicroseconds)
            pauseMicroseconds = min(2 * pauseMicroseconds, 1000)
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

/// The time of the monotonic clock after some more milliseconds, or the last time that there is.
func monotonicMilliseconds(in milliseconds: Int) -> Int64 {
    let (time, isBeyond) = monotonicMilliseconds().addingReportingOverflow(Int64(clamping: max(0, milliseconds)))
    return isBeyond ? .max : time
}

/// Milliseconds of the monotonic clock.
func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    // SAFETY: fills in a struct that is lent to it.
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
