import Glibc

/// What went wrong, and with which of the two files.
struct FileReplacementError: Error {
    let path: String
    let error: Int32
}

/// Puts `text` into the file at `path` so that a reader sees all of it or none: it is written under
/// the `temporary` name and then renamed.
func replaceFile(
    at path: String, through temporary: String, with text: String
) throws(FileReplacementError) {
    let fd = createFile(at: temporary)
    guard fd >= 0 else { throw FileReplacementError(path: temporary, error: errno) }
    var text = text
    let written = text.withUTF8 { bytes in
        // SAFETY: the bytes live as long as this closure.
        write(fd, bytes.baseAddress, bytes.count) == bytes.count
    }
    let error = errno
    close(fd)
    guard written else {
        unlink(temporary)
        throw FileReplacementError(path: temporary, error: error)
    }
    guard rename(temporary, path) == 0 else { throw FileReplacementError(path: path, error: errno) }
}

/// Creates a file that must not exist, and follows no link. A regular file of this process's user is left over from an
/// earlier attempt and is deleted. Anything else stays, and the call fails with EEXIST.
private func createFile(at path: String) -> Int32 {
    let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC
    let fd = open(path, flags, 0o644)
    guard fd < 0, errno == EEXIST else { return fd }
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid(), unlink(path) == 0
    else {
        errno = EEXIST
        return -1
    }
    return open(path, flags, 0o644)
}
