import Glibc
import LarderServer
import LarderTLS

/// How long the program waits for a server.
enum Patience {
    /// For all of the answer: until this time of the monotonic clock, in milliseconds.
    case until(Int)
    /// So many milliseconds for each piece of the answer.
    case each(Int)

    /// When a wait that begins now ends.
    var deadline: Int {
        switch self {
        case .until(let deadline): deadline
        case .each(let limit): milliseconds() + limit
        }
    }
}

/// A connection to the server that is asked, in the clear or encrypted. Every wait has an end.
struct ServerChannel {
    private let descriptor: Int32
    private let session: TLSSession?
    private let patience: Patience

    /// Connects. The server's certificate is not checked.
    init(to server: PingSettings, _ patience: Patience) throws(ServerFailure) {
        self.patience = patience
        let deadline = patience.deadline
        if let path = server.unixSocketPath {
            descriptor = try connectUnix(path, deadline: deadline)
        } else {
            descriptor = try connectTCP(server.host, port: server.port, deadline: deadline)
        }
        guard server.usesTLS else {
            session = nil
            return
        }
        do throws(ServerFailure) {
            session = try Self.shakeHands(descriptor, deadline: deadline)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    private static func shakeHands(_ descriptor: Int32, deadline: Int) throws(ServerFailure) -> TLSSession {
        let made: TLSSession?
        do throws(TLSError) {
            made = try TLSContext(trusting: nil).makeSession(fd: descriptor)
        } catch {
            throw ServerFailure(message: error.message)
        }
        guard let session = made else { throw ServerFailure(message: "no memory for TLS") }
        do throws(ServerFailure) {
            _ = try finish(descriptor, deadline, whenClosed: closedInHandshake) { session.clientHandshake() }
        } catch {
            session.free()
            throw error
        }
        return session
    }

    /// Ends the connection. Call it once.
    func close() {
        session?.close()
        session?.free()
        Glibc.close(descriptor)
    }

    /// Sends all of the bytes.
    func send(_ bytes: [UInt8]) throws(ServerFailure) {
        var sent = 0
        while sent < bytes.count { sent += try sendSome(bytes[sent...]) }
    }

    /// - Parameter bytes: at least one.
    private func sendSome(_ bytes: ArraySlice<UInt8>) throws(ServerFailure) -> Int {
        if let session {
            return try Self.finish(descriptor, patience.deadline, whenClosed: "the server closed the connection") {
                // SAFETY: the pointer is used during the call only, for as many bytes as there are.
                bytes.withUnsafeBytes { $0.baseAddress.map { session.write($0, count: bytes.count) } ?? .closed }
            }
        }
        while true {
            // SAFETY: as above.
            let count = bytes.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count > 0 { return count }
            guard errno == EINTR || errno == EAGAIN else { throw ServerFailure(message: "cannot ask: \(lastError())") }
            try wait(for: Int16(POLLOUT), on: descriptor, deadline: patience.deadline)
        }
    }

    /// What comes until it is enough, or until the server closes.
    func receive(until isEnough: ([UInt8]) -> Bool) throws(ServerFailure) -> [UInt8] {
        var answer: [UInt8] = []
        while !isEnough(answer) {
            let piece = try receiveSome(256)
            if piece.isEmpty { break }
            answer += piece
        }
        return answer
    }

    /// The bytes that come next, at most `countMax`; none when the server has closed.
    func receiveSome(_ countMax: Int) throws(ServerFailure) -> ArraySlice<UInt8> {
        var piece = [UInt8](repeating: 0, count: countMax)
        let deadline = patience.deadline
        if let session {
            let count = try Self.finish(descriptor, deadline) { session.read(into: &piece, count: countMax) }
            return piece[..<count]
        }
        while true {
            try wait(for: Int16(POLLIN), on: descriptor, deadline: deadline)
            let count = recv(descriptor, &piece, countMax, 0)
            if count >= 0 { return piece[..<count] }
            guard errno == EINTR || errno == EAGAIN else { throw ServerFailure(message: "no answer: \(lastError())") }
        }
    }

    /// A listener without TLS closes such connections.
    private static let closedInHandshake = "the server closed the connection in the TLS handshake: is this a TLS port?"

    /// Takes a step of a session as often as it needs; the bytes that it came to.
    /// - Parameter reason: why the end of the connection is a failure; nil: it is none, and 0 is returned.
    private static func finish(
        _ descriptor: Int32, _ deadline: Int, whenClosed reason: String? = nil, _ step: () -> TLSSession.Outcome
    ) throws(ServerFailure) -> Int {
        while true {
            switch step() {
            case .done(let count): return count
            case .closed:
                guard let reason else { return 0 }
                throw ServerFailure(message: reason)
            case .wantsRead: try wait(for: Int16(POLLIN), on: descriptor, deadline: deadline)
            case .wantsWrite: try wait(for: Int16(POLLOUT), on: descriptor, deadline: deadline)
            case .failed(let error): throw ServerFailure(message: TLSSession.describe(error))
            }
        }
    }
}
