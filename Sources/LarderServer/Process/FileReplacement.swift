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
    let fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard fd >= 0 else { throw FileReplacementError(path: temporary, error: errno) }
    var text = text
    let written = text.withUTF8 { bytes in
        // SAFETY: the bytes live as long as this closure.
        write(fd, bytes.baseAddress, bytes.count) == bytes.count
    }
    let error = errno
    close(fd)
    guard written else { throw FileReplacementError(path: temporary, error: error) }
    guard rename(temporary, path) == 0 else { throw FileReplacementError(path: path, error: errno) }
}
