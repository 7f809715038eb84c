import Glibc
import Synchronization

/// Lines for the operator.
package enum StandardError {
    /// nil before the server has begun: then lines are written at once.
    private static let writer = Mutex<LogWriter?>(nil)

    /// Writes one line and its line end, so that lines of several threads do not mix. In a running server a thread of
    /// its own writes the lines, and callers do not wait. Bytes from outside must go through `LogText`.
    package static func write(_ line: String) {
        if let writer = writer.withLock({ $0 }) { return writer.put(line) }
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

    /// Starts the thread that writes. Call it after the last fork.
    static func beginThread() throws(StartupError) {
        let begun = try LogWriter(to: STDERR_FILENO)
        writer.withLock { $0 = begun }
    }

    /// Lets the thread write the waiting lines, within a time limit. Later lines are lost.
    static func finish(withinMilliseconds time: Int64) {
        _ = writer.withLock { $0 }?.finish(withinMilliseconds: time)
    }

    /// Lines that were dropped because standard error was not read in time.
    static var linesDropped: Int { writer.withLock { $0 }?.linesDropped ?? 0 }
}

/// The system's words for an error number.
func describe(error number: Int32) -> String {
    // SAFETY: strerror never returns null, and its text is copied before another call can change it.
    String(cString: strerror(number))
}
