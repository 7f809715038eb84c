import Glibc
import LarderStore
import Synchronization
import Testing

@testable import LarderServer

/// When the servers of `sync=` are asked again.
@Suite struct DumpBackOffTests {
    private static let waits: [Int64] = [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]

    @Test func waitsGrowToAMinute() {
        var backOff = DumpBackOff()
        #expect(Self.waits.map { _ in backOff.nextMilliseconds() } == Self.waits)
        for _ in 0..<100 { #expect(backOff.nextMilliseconds() == 60_000) }
    }

    /// A server that refuses connections is asked again after each of these waits. No time passes here.
    @Test func anUnreachableServerIsAskedAgain() throws {
        let refusing = try RefusingSocket()
        guard
            case .serve(let settings, _) = parseCommandLine([
                "--cache", "name=x,items=8,blocksize=16,sync=127.0.0.1:\(refusing.port)",
            ])
        else {
            Issue.record("the settings are refused")
            return
        }
        let server = try InProcessServer(settings: settings)
        let cache = try #require(server.state.caches.first { $0.name == "x" })
        let recorder = Recorder(countMax: Self.waits.count)
        let loader = DumpLoader(cache, server.state.clock, [], try StopSignal()) { milliseconds throws(DumpFailure) in
            try recorder.note(milliseconds)
        }
        loader.run()
        #expect(recorder.waits.withLock { $0 } == Self.waits)
    }

    /// Notes waits, and ends the load with the last one.
    private final class Recorder: Sendable {
        let waits = Mutex<[Int64]>([])
        private let countMax: Int

        init(countMax: Int) { self.countMax = countMax }

        func note(_ milliseconds: Int64) throws(DumpFailure) {
            let count = waits.withLock {
                $0.append(milliseconds)
                return $0.count
            }
            if count == countMax { throw .stopped }
        }
    }

    /// A socket that has a port and does not listen: connections are refused, and no other program gets the port.
    private final class RefusingSocket {
        private let fd: Int32
        let port: Int

        init() throws {
            let fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
            let address = try #require(try Listener.resolve("127.0.0.1", port: 0).first)
            try #require(address.withSockaddr { bind(fd, $0, $1) } == 0)
            port = try #require(SocketAddress.local(of: fd)?.port)
            self.fd = fd
        }

        deinit { close(fd) }
    }
}
