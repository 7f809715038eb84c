import Glibc
import Testing

@testable import LoadGenerator

/// A worker with a server that the test plays itself, over a Unix socket: nothing happens unless the test says so.
struct Talk: ~Copyable {
    var worker: Worker
    let values: ValueSource
    private let listener: Listener
    /// The server's end of the newest connection.
    private(set) var peer: Int32

    /// A worker with one connection unless the words say otherwise.
    init(_ words: String) throws {
        let listener = try Listener()
        let command =
            "-c 1 -d 10 --key-pattern S:S --key-minimum 5 --key-maximum 1000 -S \(listener.path) " + words
        guard case .run(let found) = try OptionParser.parse(command.split(separator: " ").map(String.init))
        else {
            throw OptionError(message: "not a run")
        }
        let values = ValueSource(keyPrefix: found.keyPrefix, longest: max(1 << 12, found.dataSize.upperBound))
        let opened = try Worker(found, target: LoadTarget(found), values: values, thread: 0)
        (self.listener, self.values) = (listener, values)
        peer = listener.accept()
        worker = opened
    }

    mutating func accept() {
        peer = listener.accept()
    }

    /// Takes the newest of all connections that were made.
    mutating func acceptAll(_ count: Int) -> [Int32] {
        [peer] + (1..<count).map { _ in listener.accept() }
    }

    mutating func begin() { worker.begin(at: worker.clock.now()) }

    /// The worker takes what has come, and goes on.
    mutating func turn() { worker.turn(waitingAtMost: 0) }

    /// What the worker has sent so far; waits for at least a byte unless `isOptional`.
    func received(isOptional: Bool = false, from peer: Int32? = nil) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        if !isOptional { awaitInput(peer ?? self.peer) }
        let count = recv(peer ?? self.peer, &bytes, bytes.count, Int32(MSG_DONTWAIT))
        return Array(bytes.prefix(max(0, count)))
    }

    /// The server's answer, and the worker's turn.
    mutating func answer(_ bytes: [UInt8], to peer: Int32? = nil) {
        #expect(send(peer ?? self.peer, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count)
        turn()
    }

    mutating func hangUp() {
        listener.hangUp(peer)
        peer = -1
        turn()
    }

    func value(_ key: UInt64, _ length: Int = 10) -> [UInt8] { storedValue(values, key, length) }
}

/// What a run stores under a key.
func storedValue(_ values: ValueSource, _ key: UInt64, _ length: Int) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: length + 8)
    bytes.withUnsafeMutableBufferPointer { values.write(key: key, length: length, at: $0.baseAddress!) }
    return Array(bytes.prefix(length))
}

/// Waits for bytes or a connection, but not for ever: a test that goes wrong must end.
private func awaitInput(_ descriptor: Int32) {
    var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    #expect(poll(&watched, 1, 10_000) == 1, "nothing came within 10 s")
}

/// A Unix socket and the connections that it has accepted; all go when it goes.
private final class Listener {
    let path = "/tmp/larder-bench-\(getpid())-\(UInt64.random(in: 0...UInt64.max)).sock"
    private let descriptor: Int32
    private var accepted: Set<Int32> = []

    init() throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let descriptor = descriptor
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // An accept that fails must not wait, either.
        guard bound == 0, listen(descriptor, 64) == 0, fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0 else {
            throw BenchError(message: "no socket at \(path)")
        }
    }

    deinit {
        for peer in accepted { close(peer) }
        close(descriptor)
        unlink(path)
    }

    func accept() -> Int32 {
        awaitInput(descriptor)
        let peer = Glibc.accept(descriptor, nil, nil)
        accepted.insert(peer)
        return peer
    }

    func hangUp(_ peer: Int32) {
        accepted.remove(peer)
        close(peer)
    }
}

/// Text and bytes in the order in which they are sent.
func bytes(_ parts: any Sequence<UInt8>...) -> [UInt8] { parts.flatMap { Array($0) } }

/// A binary head with what follows it.
func binary(
    _ magic: UInt8, _ opcode: UInt8, status: UInt16 = 0, opaque: UInt32, extras: [UInt8] = [],
    key: String = "",
    value: [UInt8] = []
) -> [UInt8] {
    func big(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
    let body = extras + Array(key.utf8) + value
    return [magic, opcode] + big(UInt16(key.utf8.count)) + [UInt8(extras.count), 0] + big(status)
        + big(UInt32(body.count)) + big(opaque) + [UInt8](repeating: 0, count: 8) + body
}
