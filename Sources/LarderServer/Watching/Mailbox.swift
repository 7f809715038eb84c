import LarderEventLoop
import LarderWire
import Synchronization

/// Lines for one watcher: put in by all workers, taken out by the one that serves it.
///
/// Holds so many bytes and no more. What does not fit is counted, and the next line that fits says
/// how many there were.
final class Mailbox: Sendable {
    private struct Contents {
        var bytes: [UInt8] = []
        var skipped = 0
    }

    let streams: WatchedStreams
    /// Events up to this number happened before anybody watched.
    let firstID: Atomic<UInt64> = Atomic(0)
    private let bytesMax: Int
    private let waker: Waker?
    private let contents = Mutex(Contents())

    init(_ streams: WatchedStreams, bytesMax: Int, waker: Waker?) {
        self.streams = streams
        self.bytesMax = bytesMax
        self.waker = waker
    }

    /// Takes the lines that are for this watcher, and wakes the worker that serves it.
    /// - Returns: how many were taken, and how many there was no room for.
    func put(_ log: EventLog) -> (sent: Int, skipped: Int) {
        let first = firstID.load(ordering: .relaxed)
        var sent = 0
        var skipped = 0
        contents.withLock { contents in
            log.visitLines { line, entry in
                guard !entry.streams.isDisjoint(with: streams), entry.id > first else { return }
                // Room for the line that tells of those that were skipped.
                guard contents.bytes.count + line.count + 32 <= bytesMax else {
                    contents.skipped += 1
                    skipped += 1
                    return
                }
                if contents.skipped > 0 { contents.bytes += "skipped=\(contents.skipped)\n".utf8 }
                contents.skipped = 0
                contents.bytes += line
                sent += 1
            }
        }
        if sent > 0 { waker?.wake() }
        return (sent, skipped)
    }

    /// Everything that is there, and nothing afterwards.
    func takeAll() -> [UInt8] {
        contents.withLock { contents in
            var taken: [UInt8] = []
            swap(&taken, &contents.bytes)
            return taken
        }
    }
}

/// The answer to `watch`: lines as they come, without an end.
final class Watching: AnswerStream {
    private static let pieceBytesMax = 16 << 10
    private let mailbox: Mailbox
    private var lines: [UInt8] = []
    private var written = 0

    init(_ mailbox: Mailbox) { self.mailbox = mailbox }

    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        if written == lines.count {
            lines = mailbox.takeAll()
            written = 0
            if lines.isEmpty { return .waiting }
        }
        let end = min(lines.count, written + Self.pieceBytesMax)
        lines.withUnsafeBufferPointer { all in
            connection.write(UnsafeBufferPointer(rebasing: all[written..<end]), &context)
        }
        written = end
        return .more
    }

    override func end(_ context: inout WorkerContext) {
        context.state.watchers.remove(mailbox)
        context.noteWatchers()
    }
}
