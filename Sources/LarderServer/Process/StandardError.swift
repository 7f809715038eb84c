import Glibc
import Synchronization

/// Lines for the operator.
package enum StandardError {
    /// nil: lines are written at once, as before there are threads.
    private static let writer = Mutex<LogWriter?>(nil)

    /// Writes one line, its end added here, so that the lines of several threads do not mix. Once a server has begun,
    /// a thread of its own writes them, and nobody waits for it. What comes from outside has to go through `LogText`.
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

    /// Has a thread write from now on. To be called behind the last fork.
    static func beginThread() throws(StartupError) {
        let begun = try LogWriter(to: STDERR_FILENO)
        writer.withLock { $0 = begun }
    }

    /// Lets the thread write what waits, as long as that takes no longer. Lines that come later are lost.
    static func finish(withinMilliseconds time: Int64) {
        _ = writer.withLock { $0 }?.finish(withinMilliseconds: time)
    }

    /// Lines that nobody got, for want of a reader.
    static var linesDropped: Int { writer.withLock { $0 }?.linesDropped ?? 0 }
}

/// The system's words for an error number.
func describe(error number: Int32) -> String {
    // SAFETY: strerror never returns null, and its text is copied before another call can change it.
    String(cString: strerror(number))
}
