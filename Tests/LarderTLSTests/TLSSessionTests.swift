import Glibc
import LarderTesting
import Testing

@testable import LarderTLS

/// Two sessions over a pair of sockets that do not block, driven step by step.
@Suite struct TLSSessionTests {
    private final class Pair {
        let server: TLSSession
        let client: TLSSession
        let fds: [Int32]

        init(bufferBytes: Int32? = nil) throws {
            let certificate = try TestCertificate.shared.get()
            var configuration = TLSConfiguration()
            configuration.chainPath = certificate.chainPath
            configuration.keyPath = certificate.keyPath
            var fds: [Int32] = [0, 0]
            let type = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue)
            try #require(socketpair(AF_UNIX, type, 0, &fds) == 0)
            self.fds = fds
            if var size = bufferBytes {
                for fd in fds {
                    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, socklen_t(MemoryLayout<Int32>.size))
                }
            }
            server = try #require(TLSContext(configuration).makeSession(fd: fds[0]))
            client = try #require(TLSContext(trusting: certificate.chainPath).makeSession(fd: fds[1]))
        }

        deinit {
            server.free()
            client.free()
            for fd in fds { close(fd) }
        }

        func shakeHands() throws {
            for _ in 0..<20 {
                let client = client.clientHandshake()
                let server = server.handshake()
                if client == .done(0), server == .done(0) { return }
            }
            throw TLSError(message: "no end of the handshake")
        }

        func read(_ session: TLSSession, _ count: Int) -> ([UInt8], TLSSession.Outcome) {
            var bytes = [UInt8](repeating: 0, count: count)
            let outcome = session.read(into: &bytes, count: count)
            guard case .done(let taken) = outcome else { return ([], outcome) }
            return (Array(bytes[..<taken]), outcome)
        }
    }

    @Test func handshakeInSteps() throws {
        let pair = try Pair()
        #expect(pair.server.handshake() == .wantsRead)
        #expect(pair.client.clientHandshake() == .wantsRead)
        try pair.shakeHands()
        #expect(!pair.server.isResumed)
        #expect(pair.read(pair.server, 10).1 == .wantsRead)
    }

    /// Records are read in pieces as small as asked for, and what is left is pending though the socket is empty.
    @Test func piecesOfRecords() throws {
        let pair = try Pair()
        try pair.shakeHands()
        #expect(pair.client.write("first", count: 5) == .done(5))
        #expect(pair.client.write("second", count: 6) == .done(6))
        #expect(pair.read(pair.server, 3).0 == Array("fir".utf8))
        #expect(pair.server.hasPending)
        var rest: [UInt8] = []
        while pair.server.hasPending { rest += pair.read(pair.server, 4).0 }
        #expect(rest == Array("stsecond".utf8))
        #expect(pair.read(pair.server, 4).1 == .wantsRead)
    }

    /// A socket that takes no more: the write is tried again from another place, with more behind it.
    @Test func writesThatAreTriedAgain() throws {
        let pair = try Pair(bufferBytes: 4096)
        try pair.shakeHands()
        var random = SeededRandom(seed: 7)
        let bytes = (0..<300_000).map { _ in UInt8.random(in: 0...255, using: &random) }
        var written = 0
        var received: [UInt8] = []
        var rounds = 0
        var refusals = 0
        while received.count < bytes.count, rounds < 100_000 {
            rounds += 1
            if written < bytes.count {
                let copy = Array(bytes[written..<min(bytes.count, written + 40_000 + rounds)])
                switch pair.server.write(copy, count: copy.count) {
                case .done(let count): written += count
                case .wantsWrite: refusals += 1
                default: Issue.record("a write that failed")
                }
            }
            if rounds % 3 != 1 || written == bytes.count { received += pair.read(pair.client, 5000).0 }
        }
        #expect(received == bytes)
        #expect(refusals > 10)
    }

    @Test func goodByes() throws {
        let pair = try Pair()
        try pair.shakeHands()
        #expect(pair.client.write("last", count: 4) == .done(4))
        pair.client.close()
        #expect(pair.read(pair.server, 10).0 == Array("last".utf8))
        #expect(pair.read(pair.server, 10).1 == .closed)
    }

    @Test func anEndWithoutGoodByeIsAnEnd() throws {
        let pair = try Pair()
        try pair.shakeHands()
        shutdown(pair.fds[1], Int32(SHUT_RDWR))
        #expect(pair.read(pair.server, 10).1 == .closed)
    }

    /// A failure leaves no error behind in the thread's queue for the next session to find.
    @Test func brokenRecordsFailAndNothingElse() throws {
        let broken = try Pair()
        let whole = try Pair()
        try whole.shakeHands()
        try broken.shakeHands()
        let garbage: [UInt8] = [0x17, 3, 3, 0, 32] + [UInt8](repeating: 9, count: 32)
        #expect(send(broken.fds[1], garbage, garbage.count, 0) == garbage.count)
        guard case .failed(let error) = broken.read(broken.server, 10).1 else {
            Issue.record("garbage was taken")
            return
        }
        #expect(!TLSSession.describe(error).isEmpty)
        #expect(whole.read(whole.server, 10).1 == .wantsRead)
        #expect(whole.client.write("x", count: 1) == .done(1))
        #expect(whole.read(whole.server, 10).0 == Array("x".utf8))
    }

    @Test func contextsThatCannotBe() throws {
        let certificate = try TestCertificate.shared.get()
        let other = try TestCertificate()
        func message(_ change: (inout TLSConfiguration) -> Void) -> String? {
            var configuration = TLSConfiguration()
            configuration.chainPath = certificate.chainPath
            configuration.keyPath = certificate.keyPath
            change(&configuration)
            do throws(TLSError) {
                _ = try TLSContext(configuration)
                return nil
            } catch {
                return error.message
            }
        }
        #expect(message { _ in } == nil)
        #expect(message { $0.chainPath = nil }?.hasPrefix("Error loading the certificate chain: (null) : ") == true)
        #expect(
            message { $0.chainPath = nil }?.hasSuffix("\n-Z needs a certificate: give -o ssl_chain_cert=FILE.") == true)
        #expect(message { $0.chainPath = "/nowhere" }?.contains("No such file or directory") == true)
        #expect(message { $0.keyPath = "/nowhere" }?.hasPrefix("Error loading the key: /nowhere : ") == true)
        #expect(message { $0.keyPath = other.keyPath }?.contains("key values mismatch") == true)
        #expect(message { $0.keyFormat = 2 }?.hasPrefix("Error loading the key: ") == true)
        #expect(message { $0.ciphers = "NONE" } == "Error setting the provided cipher(s): NONE")
        #expect(
            message { $0.authorityPath = certificate.keyPath }?.hasPrefix("Error loading the CA certificate: ") == true)
        #expect(message { $0.authorityPath = other.chainPath } == nil)
    }
}
