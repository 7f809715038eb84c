import CLarderSystem
import Glibc
import Synchronization

/// Ends the waits of threads that have no event loop.
final class StopSignal: Sendable {
    private let fd: Int32
    private let wasSent = Atomic(false)

    init() throws(StartupError) {
        fd = larder_eventfd()
        guard fd >= 0 else { throw .thread(error: errno) }
    }

    deinit { close(fd) }

    /// Whether the waits were ended. Long work without a wait asks for it now and then.
    var isSent: Bool { wasSent.load(ordering: .relaxed) }

    /// Ends all waits, also those to come.
    func send() {
        wasSent.store(true, ordering: .relaxed)
        var one: UInt64 = 1
        // SAFETY: eight bytes of a local variable.
        _ = write(fd, &one, 8)
    }

    /// Waits until the time is over.
    /// - Throws: `.stopped`.
    func pause(_ milliseconds: Int64) throws(DumpFailure) {
        do throws(DumpFailure) {
            try wait(for: 0, of: -1, milliseconds: milliseconds)
        } catch {
            if error == .stopped { throw error }
        }
    }

    /// Waits for a socket, or for nothing but the time.
    /// - Parameter socket: -1: none.
    /// - Throws: `.stopped`, or `.tooSlow` when the time is over.
    func wait(for events: Int16, of socket: Int32, milliseconds: Int64) throws(DumpFailure) {
        let deadline = larder_milliseconds(false) &+ milliseconds
        while true {
            let left = max(0, deadline &- larder_milliseconds(false))
            var polled = (
                pollfd(fd: fd, events: Int16(POLLIN), revents: 0), pollfd(fd: socket, events: events, revents: 0)
            )
            let count = withUnsafeMutableBytes(of: &polled) { bytes in
                // SAFETY: a tuple of two has the layout of an array of two.
                poll(bytes.assumingMemoryBound(to: pollfd.self).baseAddress, 2, Int32(min(left, 60_000)))
            }
            if count < 0, errno != EINTR { throw .system(errno) }
            if count > 0 {
                if polled.0.revents != 0 { throw .stopped }
                if polled.1.revents != 0 { return }
            }
            if left == 0 { throw .tooSlow(milliseconds: milliseconds) }
        }
    }
}

/// Why a dump did not come, or could not be given.
enum DumpFailure: Error, Equatable {
    case stopped
    case tooSlow(milliseconds: Int64)
    case ended
    /// Few bytes have come or gone in a long time.
    case belowPace
    case system(Int32)
    /// The host has no address; why.
    case unresolved(String)
    /// The cache was cleared, or too much of it was changed.
    case changed
    /// The address is one of this server.
    case ownAddress

    /// For the log, behind the address.
    var text: String {
        switch self {
        case .stopped: "the server stops"
        case .tooSlow(let milliseconds): "no byte within \(milliseconds / 1000) seconds"
        case .ended: "the connection ended before the dump did"
        case .belowPace: "less than \(DumpPace.bytesPerSecond >> 10) KB came through in a second"
        case .system(let number): describe(error: number)
        case .unresolved(let reason): reason
        case .changed: "the cache was cleared or changed too much meanwhile"
        case .ownAddress: "it is this server's"
        }
    }
}

/// Ends a dump that would keep the thread, and the copies of values, for too long.
struct DumpPace {
    static let bytesPerSecond: Int64 = 64 << 10
    /// On top of the time that the bytes may take.
    private static let millisecondsFree: Int64 = 15_000

    private let began = larder_milliseconds(false)
    private var bytes: Int64 = 0

    mutating func note(bytes count: Int) throws(DumpFailure) {
        bytes &+= Int64(count)
        let allowed = Self.millisecondsFree &+ bytes &* 1000 / Self.bytesPerSecond
        guard larder_milliseconds(false) &- began <= allowed else { throw .belowPace }
    }
}

/// A connection of a thread that waits for it: every wait has an end.
struct DumpConnection: ~Copyable {
    let fd: Int32
    private let stop: StopSignal

    private static let connectMillisecondsMax: Int64 = 5_000
    /// A uWSGI copies its whole cache before it sends the first byte.
    private static let silentMillisecondsMax: Int64 = 10_000

    /// Takes a socket over, which does not block.
    init(owning fd: Int32, _ stop: StopSignal) {
        self.fd = fd
        self.stop = stop
    }

    /// Connects.
    static func connected(to address: SocketAddress, _ stop: StopSignal) throws(DumpFailure) -> DumpConnection {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let connection = DumpConnection(owning: socket(address.family, type, 0), stop)
        let fd = connection.fd
        guard fd >= 0 else { throw .system(errno) }
        guard address.withSockaddr({ connect(fd, $0, $1) }) != 0 else { return connection }
        guard errno == EINPROGRESS else { throw .system(errno) }
        try stop.wait(for: Int16(POLLOUT), of: fd, milliseconds: connectMillisecondsMax)
        var error: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        // SAFETY: the kernel writes at most the size of the variable.
        guard getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0, error == 0 else { throw .system(error) }
        return connection
    }

    deinit { if fd >= 0 { close(fd) } }

    /// Sends all of it, within the time of one wait.
    func send(_ bytes: UnsafeRawBufferPointer) throws(DumpFailure) {
        if stop.isSent { throw .stopped }
        let deadline = larder_milliseconds(false) &+ Self.silentMillisecondsMax
        var sent = 0
        while sent < bytes.count {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[sent...])
            // SAFETY: the bytes stay there until the call returns.
            let count = Glibc.send(fd, rest.baseAddress, rest.count, Int32(MSG_NOSIGNAL))
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                let left = deadline &- larder_milliseconds(false)
                guard left > 0 else { throw .tooSlow(milliseconds: Self.silentMillisecondsMax) }
                try stop.wait(for: Int16(POLLOUT), of: fd, milliseconds: left)
            } else if errno != EINTR {
                throw .system(errno)
            }
        }
    }

    /// What has come; at least one byte.
    func receive(into buffer: UnsafeMutableRawBufferPointer) throws(DumpFailure) -> UnsafeRawBufferPointer {
        while true {
            try stop.wait(for: Int16(POLLIN), of: fd, milliseconds: Self.silentMillisecondsMax)
            // SAFETY: the kernel writes at most as many bytes as the buffer has.
            let count = recv(fd, buffer.baseAddress, buffer.count, 0)
            if count > 0 { return UnsafeRawBufferPointer(rebasing: buffer[..<count]) }
            if count == 0 { throw .ended }
            if errno != EAGAIN, errno != EINTR { throw .system(errno) }
        }
    }
}
