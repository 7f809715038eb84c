import CLarderSystem
import Glibc

/// Writes lines to a descriptor from a thread of its own, so that nobody who has something to say waits for a reader.
///
/// Lines that come while so many wait that there is no room for them are dropped and counted. A line in their place says
/// how many there were. The descriptor stays as it is: to make it non-blocking would change it for all who share it, such
/// as the shell that started the server.
final class LogWriter: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards everything that changes.
    private let fd: Int32
    private let waitingBytesMax: Int
    private let monitor = Monitor()
    private var waiting: [UInt8] = []
    /// Lines dropped since the last that wait.
    private var droppedLines = 0
    private var droppedLinesInAll = 0
    private var isEnding = false
    private var hasEnded = false

    /// Bytes of lines that wait at most.
    static let waitingBytesMax = 256 << 10
    private static let stackBytes = 256 << 10
    /// A pipe takes so many bytes in one piece (PIPE_BUF): the lines of several processes do not mix.
    private static let pieceBytesMax = 4096

    init(to fd: Int32, waitingBytesMax: Int = LogWriter.waitingBytesMax) throws(StartupError) {
        self.fd = fd
        self.waitingBytesMax = waitingBytesMax
        _ = try SystemThread(name: "larder-log", stackBytes: Self.stackBytes) { [self] in run() }
    }

    /// Adds a line; its end is added here.
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

    /// Ends the thread when all is written; false when that is not so at the deadline. Lines that come later are dropped.
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
            if dropped > 0 { lines += "larder: \(dropped) log lines were dropped, since nobody read standard error\n".utf8 }
            let lost = write(lines)
            monitor.lock()
            droppedLinesInAll += lost
        }
        hasEnded = true
        monitor.signalAll()
        monitor.unlock()
    }

    /// Returns how many lines could not be written.
    private func write(_ lines: [UInt8]) -> Int {
        var start = 0
        while start < lines.count {
            let end = endOfPiece(lines, from: start)
            guard writeAll(lines[start..<end]) else { return lines[start...].count { $0 == UInt8(ascii: "\n") } }
            start = end
        }
        return 0
    }

    /// Behind as many whole lines as make one piece, or behind one line that is longer.
    private func endOfPiece(_ lines: [UInt8], from start: Int) -> Int {
        let limit = min(lines.count, start + Self.pieceBytesMax)
        if let last = lines[start..<limit].lastIndex(of: UInt8(ascii: "\n")) { return last + 1 }
        return lines[limit...].firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? lines.count
    }

    private func writeAll(_ piece: ArraySlice<UInt8>) -> Bool {
        piece.withUnsafeBytes { bytes in
            var written = 0
            while written < bytes.count {
                // SAFETY: what is left of the piece lies behind what is written.
                let count = Glibc.write(fd, bytes.baseAddress.map { $0 + written }, bytes.count - written)
                if count > 0 {
                    written += count
                } else if count < 0, errno == EAGAIN {
                    // Somebody else who has it made it non-blocking.
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
