import Glibc

/// Wakes the thread that applies: from this process by a pipe, from other processes by a datagram to a socket beside
/// the state file. If a wakeup is lost, the sender waits a little longer.
final class Wakeup: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32
    private let socketPath: String
    private let sender: Int32
    private static let dontWait = Int32(truncatingIfNeeded: Int(MSG_DONTWAIT))

    init(_ statePath: String) throws(ReplicationError) {
        socketPath = statePath + ".wake"
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw SystemText.refused("pipe") }
        (readEnd, writeEnd) = (ends[0], ends[1])
        sender = Self.socket()
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
    }

    deinit { for descriptor in [readEnd, writeEnd, sender] where descriptor >= 0 { close(descriptor) } }

    /// The descriptor that the thread of this process polls.
    var descriptor: Int32 { readEnd }

    /// Wakes the thread of this process.
    func wakeOwn() {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Wakes the thread of the process that applies.
    func wakeApplier() {
        _ = Self.withAddress(socketPath) { address, length in
            var byte: UInt8 = 1
            return Int32(sendto(sender, &byte, 1, Self.dontWait, address, length))
        }
    }

    /// Makes the socket that other processes send to. The caller holds the state file's lock.
    /// - Returns: nil if the path is too long for a socket. Other processes then wait a little longer.
    func listen() -> Int32? {
        unlink(socketPath)
        let listener = Self.socket()
        let bound = Self.withAddress(socketPath) { bind(listener, $0, $1) }
        guard bound == 0 else {
            close(listener)
            return nil
        }
        chmod(socketPath, 0o600)
        return listener
    }

    /// Removes the socket. The caller still holds the lock.
    func endListening(_ listener: Int32) {
        close(listener)
        unlink(socketPath)
    }

    /// Reads and discards the wakeups that have arrived.
    func drain(_ listener: Int32?) {
        var bytes = [UInt8](repeating: 0, count: 256)
        while read(readEnd, &bytes, bytes.count) == bytes.count {}
        guard let listener else { return }
        while recv(listener, &bytes, bytes.count, Self.dontWait) > 0 {}
    }

    private static func socket() -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        if descriptor >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        return descriptor
    }

    private static func withAddress(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        // SAFETY: every socket address begins as `sockaddr` does, and the length goes with it.
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
        }
    }
}

/// A thread of its own for calls that block.
struct BlockingThread {
    private var thread = pthread_t()

    private final class Work {
        let body: () -> Void
        init(_ body: @escaping () -> Void) { self.body = body }
    }

    /// nil: the system gives no thread, and `body` is not run.
    init?(_ body: @escaping @Sendable () -> Void) {
        let context = Unmanaged.passRetained(Work(body)).toOpaque()
        // SAFETY: the thread takes the reference over.
        let result = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Work>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, context)
        guard result == 0 else {
            // SAFETY: no thread took the reference over.
            Unmanaged<Work>.fromOpaque(context).release()
            return nil
        }
    }

    /// Waits for the end.
    func join() { pthread_join(thread, nil) }

    /// Detaches the thread: it ends with its body.
    func detach() { pthread_detach(thread) }
}
