import CLarderSystem
import Glibc
import Synchronization

/// Lines for the operator.
package enum StandardError {
    private struct Output {
        /// nil before the server has begun: then lines are written at once.
        var writer: LogWriter?
        var format = LogFormat.text
    }

    private static let output = Mutex(Output())

    /// Writes one line and its line end, so that lines of several threads do not mix. In a running server a thread of
    /// its own writes the lines, and callers do not wait. Bytes from outside must go through `LogText`.
    package static func write(_ message: String, _ level: LogLevel = .info) {
        let (writer, format) = output.withLock { ($0.writer, $0.format) }
        let line = format == .text ? message : LogLine.text(message, level, format, at: now())
        if let writer { return writer.put(line) }
        write(line, to: STDERR_FILENO)
    }

    /// Sets the format of all further lines.
    package static func begin(_ format: LogFormat) { output.withLock { $0.format = format } }

    /// A message in the format of the log, for a thread that writes it itself.
    static func formatted(_ message: String, _ level: LogLevel) -> String {
        LogLine.text(message, level, output.withLock { $0.format }, at: now())
    }

    private static func now() -> timespec {
        var time = timespec()
        // SAFETY: the call fills the local struct.
        clock_gettime(CLOCK_REALTIME, &time)
        return time
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
        output.withLock { $0.writer = begun }
    }

    /// Lets the thread write the waiting lines, within a time limit. Later lines are lost.
    static func finish(withinMilliseconds time: Int64) {
        _ = output.withLock { $0.writer }?.finish(withinMilliseconds: time)
    }

    /// Lines that were dropped because standard error was not read in time.
    static var linesDropped: Int { output.withLock { $0.writer }?.linesDropped ?? 0 }
}

/// The system's words for an error number.
func describe(error number: Int32) -> String {
    // SAFETY: strerror never returns null, and its text is copied before another call can change it.
    String(cString: strerror(number))
}
