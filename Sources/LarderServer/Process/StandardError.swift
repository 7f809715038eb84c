import Glibc

/// Lines for the operator.
package enum StandardError {
    /// Writes one line, its end added here, with a single system call, so that the lines of several
    /// threads do not mix. What cannot be written is lost: there is nowhere to say so.
    package static func write(_ line: String) {
        write(line, to: STDERR_FILENO)
    }

    static func write(_ line: String, to fd: Int32) {
        var text = line
        text.append("\n")
        text.withUTF8 { bytes in
            // SAFETY: the bytes live as long as this closure.
            _ = Glibc.write(fd, bytes.baseAddress, bytes.count)
        }
    }
}

/// The system's words for an error number.
func describe(error number: Int32) -> String {
    // SAFETY: strerror never returns null, and its text is copied before another call can change it.
    String(cString: strerror(number))
}
