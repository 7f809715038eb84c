import Glibc
import LarderTLS

/// A connection to the server that is asked, in the clear or encrypted. Every wait ends at the deadline.
struct PingChannel {
    private let descriptor: Int32
    private let session: TLSSession?
    private let deadline: Int

    /// Over a socket that does not block. The certificate is not looked at: the question is whether somebody is
    /// there, and nothing is told to it.
    init(_ descriptor: Int32, usesTLS: Bool, deadline: Int) throws(PingFailure) {
        self.descriptor = descriptor
        self.deadline = deadline
        guard usesTLS else {
            session = nil
            return
        }
        do throws(TLSError) {
            session = try TLSContext(trusting: nil).makeSession(fd: descriptor)
        } catch {
            throw PingFailure(message: error.message)
        }
        guard let session else { throw PingFailure(message: "no memory for TLS") }
        do throws(PingFailure) {
            _ = try Self.finish(descriptor, deadline, whenClosed: Self.closedInHandshake) { session.clientHandshake() }
        } catch {
            session.free()
            throw error
        }
    }

    func close() {
        session?.close()
        session?.free()
    }

    func send(_ bytes: [UInt8]) throws(PingFailure) {
        let count: Int
        if let session {
            count = try Self.finish(descriptor, deadline, whenClosed: "the server closed the connection") {
                session.write(bytes, count: bytes.count)
            }
        } else {
            count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        guard count == bytes.count else { throw PingFailure(message: "cannot ask: \(lastError())") }
    }

    /// What comes until it is enough, or until the server closes.
    func receive(until isEnough: ([UInt8]) -> Bool) throws(PingFailure) -> [UInt8] {
        var answer: [UInt8] = []
        while !isEnough(answer) {
            var piece = [UInt8](repeating: 0, count: 256)
            let count: Int
            if let session {
                count = try Self.finish(descriptor, deadline) { session.read(into: &piece, count: piece.count) }
            } else {
                try wait(for: Int16(POLLIN), on: descriptor, deadline: deadline)
                count = recv(descriptor, &piece, piece.count, 0)
                if count < 0 && (errno == EINTR || errno == EAGAIN) { continue }
                guard count >= 0 else { throw PingFailure(message: "no answer: \(lastError())") }
            }
            guard count > 0 else { break }
            answer += piece[..<count]
        }
        return answer
    }

    /// A listener without TLS closes such connections.
    private static let closedInHandshake = "the server closed the connection in the TLS handshake: is this a TLS port?"

    /// Takes a step of a session as often as it needs; the bytes that it came to.
    /// - Parameter reason: why the end of the connection is a failure; nil: it is none, and 0 is returned.
    private static func finish(
        _ descriptor: Int32, _ deadline: Int, whenClosed reason: String? = nil, _ step: () -> TLSSession.Outcome
    ) throws(PingFailure) -> Int {
        while true {
            switch step() {
            case .done(let count): return count
            case .closed:
                guard let reason else { return 0 }
                throw PingFailure(message: reason)
            case .wantsRead: try wait(for: Int16(POLLIN), on: descriptor, deadline: deadline)
            case .wantsWrite: try wait(for: Int16(POLLOUT), on: descriptor, deadline: deadline)
            case .failed(let error): throw PingFailure(message: TLSSession.describe(error))
            }
        }
    }
}
