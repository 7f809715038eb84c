import CBenchSystem
import CBenchTLS
import Glibc

/// The address that a channel connects to.
enum Place: Sendable {
    case tcp(UInt16)
    case unix(String)

    func address() -> bench_address? {
        var address = bench_address()
        switch self {
        case .unix(let path): return bench_unix_address(path, &address) == 0 ? address : nil
        case .tcp(let port):
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_port = port.bigEndian
            target.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
            withUnsafeMutableBytes(of: &address.bytes) { bytes in
                withUnsafeBytes(of: &target) { bytes.copyMemory(from: $0) }
            }
            address.length = UInt32(MemoryLayout<sockaddr_in>.size)
            return address
        }
    }
}

/// One connection of a client to a cache, with its current batch.
///
/// SAFETY: `expected`, `asked` and `input` are allocated here with the room that the constants beside them give. They
/// belong to the thread that has the channel, and live as long as the channel.
final class Channel {
    static let expectedRoom = 512
    static let askedRoom = 4096

    enum Progress { case none, some, ended }

    let cache: Int
    let place: Place
    let encoder: Encoder
    private let tls: OpaquePointer?
    private(set) var descriptor: Int32 = -1
    private var session: OpaquePointer?
    private var isShakingHands = false
    private var wantsToWrite = false

    var output = Output()
    private var sent = 0
    var input: UnsafeMutablePointer<UInt8>
    private var inputRoom = 1 << 18
    var inputStart = 0
    private(set) var inputEnd = 0

    let expected: UnsafeMutablePointer<Expected>
    var expectedCount = 0
    var expectedNext = 0
    let asked: UnsafeMutablePointer<Asked>
    var askedCount = 0
    /// In the current get: the next key that a value may belong to.
    var askedCursor = 0
    var askedAt: Moment = 0
    var batch: UInt32 = 0

    /// The owner's next key to check after a restart.
    var recheckNext = 0
    var isHalfClosed = false
    /// How many more reads are small.
    var slowReads = 0
    /// Whether the channel has entered the cache's gate.
    var isInside = false
    var wantsFlush = false

    init(cache: Int, place: Place, encoder: Encoder, tls: OpaquePointer?, keyCount: Int) {
        self.cache = cache
        self.place = place
        self.encoder = encoder
        self.tls = tls
        input = .allocate(capacity: inputRoom)
        expected = .allocate(capacity: Self.expectedRoom)
        asked = .allocate(capacity: Self.askedRoom)
        recheckNext = keyCount
    }

    var isOpen: Bool { descriptor >= 0 }
    var isBusy: Bool { expectedNext < expectedCount }
    var hasSentAll: Bool { sent == output.count }
    var inputCount: Int { inputEnd - inputStart }

    /// Connects; false when the server does not listen at the address.
    func open() -> Bool {
        guard var address = place.address() else { return false }
        descriptor = bench_connect(&address, 1)
        guard descriptor >= 0 else { return false }
        if let tls {
            session = bench_tls_session_new(tls, descriptor, nil, nil)
            // In TLS the client sends first.
            (isShakingHands, wantsToWrite) = (true, true)
        }
        return true
    }

    /// Hangs up, with a reset if `isHard`.
    func close(isHard: Bool = false) {
        guard descriptor >= 0 else { return }
        if isHard {
            var none = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &none, socklen_t(MemoryLayout<linger>.size))
        }
        if let session { bench_tls_session_end(session) }
        _ = Glibc.close(descriptor)
        (descriptor, session, isShakingHands, wantsToWrite, isHalfClosed) = (-1, nil, false, false, false)
        (inputStart, inputEnd, sent, slowReads) = (0, 0, 0, 0)
        output.clear()
    }

    /// Closes the sending half of the connection, as some clients do.
    func closeHalf() {
        guard session == nil, hasSentAll, isOpen else { return }
        isHalfClosed = true
        shutdown(descriptor, Int32(SHUT_WR))
    }

    func beginBatch(_ number: UInt32, at moment: Moment) {
        output.clear()
        (sent, expectedCount, expectedNext, askedCount, askedCursor) = (0, 0, 0, 0, 0)
        batch = number
        askedAt = moment
    }

    @inline(__always)
    func expect(_ request: Expected) {
        expected[expectedCount] = request
        expectedCount &+= 1
    }

    var events: Int16 {
        let writes = isShakingHands ? wantsToWrite : !hasSentAll
        return Int16(POLLIN) | (writes ? Int16(POLLOUT) : 0)
    }

    /// Sends and receives as much as the socket takes and has now.
    func advance() -> Progress {
        if isShakingHands {
            guard let session else { return .ended }
            var writes: Int32 = 0
            let result = bench_tls_handshake(session, &writes)
            wantsToWrite = writes != 0
            if result == Int32(BENCH_TLS_WAITS) { return .none }
            guard result == 1 else { return .ended }
            isShakingHands = false
        }
        guard hasSentAll || send() else { return .ended }
        return receive()
    }

    private func send() -> Bool {
        while sent < output.count {
            let count: Int
            if let session {
                count = bench_tls_write(session, output.bytes + sent, output.count - sent)
                if count == BENCH_TLS_WAITS { return true }
                guard count > 0 else { return false }
            } else {
                count = Glibc.send(descriptor, output.bytes + sent, output.count - sent, Int32(MSG_NOSIGNAL))
                if count < 0 { return errno == EAGAIN || errno == EINTR }
            }
            sent += count
        }
        return true
    }

    private func receive() -> Progress {
        makeRoomForInput()
        var room = inputRoom - inputEnd
        if slowReads > 0 {
            slowReads -= 1
            room = min(room, 2048)
            usleep(2000)
        }
        let count: Int
        if let session {
            count = bench_tls_read(session, input + inputEnd, room)
            if count == BENCH_TLS_WAITS { return .none }
            guard count > 0 else { return .ended }
        } else {
            errno = 0
            count = recv(descriptor, input + inputEnd, room, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { return .none }
            guard count > 0 else { return .ended }
        }
        inputEnd += count
        return .some
    }

    /// Why the last call failed.
    var reason: String {
        guard let session else { return errno == 0 ? "end of stream" : String(cString: strerror(errno)) }
        var text = [CChar](repeating: 0, count: 256)
        bench_tls_describe(session, &text, text.count)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether OpenSSL holds bytes that `poll` on the socket does not report.
    var hasPending: Bool { session.map { bench_tls_has_pending($0) != 0 } ?? false }

    private func makeRoomForInput() {
        if inputStart == inputEnd {
            (inputStart, inputEnd) = (0, 0)
        } else if inputRoom - inputEnd < 1 << 16 {
            let count = inputEnd - inputStart
            var target = input
            if count > inputRoom / 2 {
                inputRoom *= 2
                target = .allocate(capacity: inputRoom)
            }
            memmove(target, input + inputStart, count)
            if target != input {
                input.deallocate()
                input = target
            }
            (inputStart, inputEnd) = (0, count)
        }
    }
}
