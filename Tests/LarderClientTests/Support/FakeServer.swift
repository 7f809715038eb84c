import Foundation
import Glibc
import Synchronization
import Testing

@testable import LarderClient

/// A server that says what a test wants, over a Unix socket.
///
/// It answers each request line by line, or packet by packet; what it does not know gets no answer.
final class FakeServer: Sendable {
    /// What to do about a request.
    enum Reply: Sendable {
        case say([UInt8])
        case sayAndHangUp([UInt8])
        case silence
        case hangUp

        static func say(_ text: String) -> Reply { .say(Array(text.utf8)) }
    }

    /// The listener and the clients. Whoever reads from one closes it; others may only hang up.
    private final class Sockets: Sendable {
        private let open = Mutex<Set<Int32>>([])

        func add(_ socket: Int32) { open.withLock { _ = $0.insert(socket) } }

        /// Under the lock, so that nobody hangs up on who has the number next.
        func close(_ socket: Int32) { open.withLock { if $0.remove(socket) != nil { Glibc.close(socket) } } }

        func hangUp() { open.withLock { for socket in $0 { shutdown(socket, Int32(SHUT_RDWR)) } } }
    }

    let path: String
    private let sockets = Sockets()
    private let accepted = Mutex(0)

    /// How many connections there have been.
    var acceptedCount: Int { accepted.withLock { $0 } }

    /// - Parameter reply: to a line without its end; the greeting (`version`, `mn`) is answered already unless `greets` is false.
    convenience init(
        path: String? = nil, greets: Bool = true, _ reply: @escaping @Sendable (String) -> Reply
    ) throws {
        try self.init(speaking: .meta, path: path, greets: greets) { reply($0.line) }
    }

    /// - Parameter reply: to a request; the greeting is answered already unless `greets` is false.
    init(
        speaking dialect: Dialect, path: String? = nil, greets: Bool = true,
        _ reply: @escaping @Sendable (FakeRequest) -> Reply
    ) throws {
        self.path = path ?? "/tmp/larder-fake-\(UUID().uuidString.prefix(13)).sock"
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        unlink(self.path)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: self.path.utf8) }
        let isBound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) == 0
            }
        }
        guard isBound, listen(listener, 100) == 0 else {
            close(listener)
            throw CocoaError(.fileWriteUnknown)
        }
        sockets.add(listener)
        Thread { [weak self, sockets] in
            defer { sockets.close(listener) }
            while case let client = accept(listener, nil, nil), client >= 0 {
                sockets.add(client)
                guard let self else { return sockets.close(client) }
                self.accepted.withLock { $0 += 1 }
                Thread {
                    defer { sockets.close(client) }
                    Self.serve(client, dialect, greets, reply)
                }.start()
            }
        }.start()
    }

    deinit { stop() }

    /// Hangs up on everybody, and listens no more.
    func stop() {
        unlink(path)
        sockets.hangUp()
    }

    private static func serve(
        _ client: Int32, _ dialect: Dialect, _ greets: Bool, _ reply: @Sendable (FakeRequest) -> Reply
    ) {
        var pending: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65536)
        while case let count = read(client, &chunk, chunk.count), count > 0 {
            pending += chunk[..<count]
            while let request = FakeRequest(dialect, takenFrom: &pending) {
                switch greets ? request.greeting ?? reply(request) : reply(request) {
                case .say(let bytes): _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                case .sayAndHangUp(let bytes):
                    _ = send(client, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                    return
                case .silence: break
                case .hangUp: return
                }
            }
        }
    }
}

/// The opaque of a request, with its letter.
func opaque(_ line: String) -> String {
    line.split(separator: " ").first { $0.hasPrefix("O") }.map(String.init) ?? "O"
}

/// Lets other tasks run until something is so. What does not come in two minutes will not come.
func until(_ condition: () async throws -> Bool) async rethrows {
    let end = ContinuousClock.now + .seconds(120)
    while try await !condition() {
        guard ContinuousClock.now < end else {
            Issue.record("What is waited for does not come.")
            return
        }
        await Task.yield()
    }
}
