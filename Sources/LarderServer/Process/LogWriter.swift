import CLarderSystem
import Glibc

/// Writes lines to a descriptor from a thread of its own, so no other thread waits for the reader.
///
/// A line is dropped and counted when too many lines wait. One line in place of the dropped ones gives their number.
/// The descriptor stays blocking: O_NONBLOCK would also apply to the other processes that share it, such as the shell
/// that started the server.
final class LogWriter: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards everything that changes.
    private let fd: Int32
    private let waitingBytesMax: Int
    private let monitor = Monitor()
    private var waiting: [UInt8] = []
    /// Lines dropped after the last line that waits.
    private var droppedLines = 0
    private var droppedLinesInAll = 0
    private var isEnding = false
    private var hasEnded = false

    /// The most bytes of lines that may wait.
    static let waitingBytesMax = 256 << 10
    private static let stackBytes = 256 << 10
    /// A pipe takes up to PIPE_BUF bytes in one piece, so the lines of several processes do not mix.
    private static let pieceBytesMax = 4096

    init(to fd: Int32, waitingBytesMax: Int = LogWriter.waitingBytesMax) throws(StartupError) {
        self.fd = fd
        self.waitingBytesMax = waitingBytesMax
        _ = try SystemThread(name: "larder-log", stackBytes: Self.stackBytes) { [self] in run() }
    }

    /// Adds a line, and the line end.
    func put(_ line: String) {
        monitor.lock()
        if droppedLines > 0 || waiting.count + line.utf8.count >= waitingBytesMax {
            droppedLines += 1
            droppedLinesInAll += 1
        } else {
            waiting += line.utf8
            waiting.append(UInt8(ascii: "\n"))
        }
        monitor.unlock()
        monitor.signalAll()
    }

    var linesDropped: Int { monitor.withLock { droppedLinesInAll } }

    /// Ends the thread when all lines are written. False if the deadline comes first. Later lines are dropped.
    func finish(withinMilliseconds time: Int64) -> Bool {
        let deadline = larder_milliseconds(false) + time
        monitor.lock()
        defer { monitor.unlock() }
        isEnding = true
        monitor.signalAll()
        while !hasEnded, monitor.wait(untilMilliseconds: deadline) {}
        return hasEnded
    }

    private func run() {
        monitor.lock()
        while true {
            while waiting.isEmpty, droppedLines == 0, !isEnding { monitor.wait() }
            if waiting.isEmpty, droppedLines == 0 { break }
            var lines: [UInt8] = []
            swap(&lines, &waiting)
            let dropped = droppedLines
            droppedLines = 0
            monitor.unlock()
            if dropped > 0 {
                let message = "larder: \(dropped) log lines dropped: standard error was not read in time"
                lines += (StandardError.formatted(message, .warning) + "\n").utf8
            }
            let lost = write(lines)
            monitor.lock()
            droppedLinesInAll += lost
        }
        hasEnded = true
        monitor.signalAll()
        monitor.unlock()
    }

    /// Returns the number of lines that could not be written.
    private func write(_ lines: [UInt8]) -> Int {
        var start = 0
        while start < lines.count {
            let end = endOfPiece(lines, from: start)
            guard writeAll(lines[start..<end]) else { return lines[start...].count { $0 == UInt8(ascii: "\n") } }
            start = end
        }
        return 0
    }

    /// The end of the next piece: as many whole lines as fit, or one line that is longer.
    private func endOfPiece(_ lines: [UInt8], from start: Int) -> Int {
        let limit = min(lines.count, start + Self.pieceBytesMax)
        if let last = lines[start..<limit].lastIndex(of: UInt8(ascii: "\n")) { return last + 1 }
        return lines[limit...].firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? lines.count
    }

    private func writeAll(_ piece: ArraySlice<UInt8>) -> Bool {
        piece.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                // SAFETY: the rest of the piece lies behind the bytes that are written.
                let count = Glibc.write(fd, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                if count > 0 {
                    written += count
                } else if count < 0, errno == EAGAIN {
                    // Another process that shares the descriptor made it non-blocking.
                    var watched = pollfd(fd: fd, events: Int16(POLLOUT), revents: 0)
                    poll(&watched, 1, -1)
                } else if count == 0 || errno != EINTR {
                    return false
                }
            }
            return true
        }
    }
}
