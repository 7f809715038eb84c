import Glibc

/// Loads a server until it is told to end (SIGTERM), or the server goes.
func runWriter(_ options: Options) throws(Complaint) -> Int32 {
    let keys = try options.number("keys", 20_000)
    let acknowledged = try Acknowledged(path: options.text("acknowledged"), keys: keys)
    let connection = try BlockingConnection(port: options.number("port", 0))
    var batch = Batch(
        keys: keys, random: SeededRandom(seed: UInt64(try options.number("seed", 1))),
        flushesEvery: try options.number("flushes", 0))
    while true {
        batch.make()
        guard connection.send(batch.bytes) else { break }
        for change in batch.changes {
            guard let answer = connection.line() else { return 0 }
            switch (change.kind, answer) {
            case (.set, "STORED"): acknowledged.raise(change.key, to: change.number)
            case (.delete, "DELETED"), (.delete, "NOT_FOUND"):
                acknowledged.raise(change.key, to: change.number + 1)
            case (.touch, "TOUCHED"), (.touch, "NOT_FOUND"): break
            case (.flush, "OK"): for key in 0..<keys { acknowledged.raise(key, to: change.number + 1) }
            default: throw Complaint(text: "the server answered \(answer) to a \(change.kind)")
            }
        }
    }
    return 0
}

private struct Change {
    enum Kind { case set, delete, touch, flush }
    var kind: Kind
    var key: Int
    var number: UInt64
}

/// Commands that are sent together.
private struct Batch {
    let keys: Int
    var random: SeededRandom
    let flushesEvery: Int
    private var number: UInt64 = 0
    private(set) var changes: [Change] = []
    private(set) var bytes: [UInt8] = []

    init(keys: Int, random: SeededRandom, flushesEvery: Int) {
        self.keys = keys
        self.random = random
        self.flushesEvery = flushesEvery
    }

    mutating func make() {
        changes.removeAll(keepingCapacity: true)
        bytes.removeAll(keepingCapacity: true)
        for _ in 0..<64 {
            number += 1
            let key = random.key(of: keys)
            let kind = random.next() % 100
            if flushesEvery > 0, number % UInt64(flushesEvery) == 0 {
                add(.flush, key, "flush_all\r\n")
            } else if kind < 3 {
                add(.delete, key, "delete key-\(key)\r\n")
            } else if kind < 6 {
                add(.touch, key, "touch key-\(key) \(100 + kind)\r\n")
            } else {
                let value = NumberedValue(key: key, number: number)
                let expiry = kind < 20 ? 1 + kind % 3 : kind < 50 ? 100 : 0
                add(.set, key, "set key-\(key) \(value.flags) \(expiry) \(value.length)\r\n")
                let start = bytes.count
                bytes.append(contentsOf: repeatElement(0, count: value.length))
                bytes.withUnsafeMutableBytes {
                    value.write(to: UnsafeMutableRawBufferPointer(rebasing: $0[start...]))
                }
                bytes += [13, 10]
            }
        }
    }

    private mutating func add(_ kind: Change.Kind, _ key: Int, _ command: String) {
        changes.append(Change(kind: kind, key: key, number: number))
        bytes += Array(command.utf8)
    }
}

private final class BlockingConnection {
    private let fd: Int32
    private var received = [UInt8](repeating: 0, count: 1 << 16)
    private var start = 0
    private var end = 0

    init(port: Int) throws(Complaint) {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(truncatingIfNeeded: port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // SAFETY: a sockaddr_in is what a sockaddr of its family stands for.
        let status = withUnsafePointer(to: &address) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, size) }
        }
        guard status == 0 else { throw Complaint(text: "cannot connect to port \(port) (errno \(errno))") }
    }

    func send(_ bytes: [UInt8]) -> Bool {
        bytes.withUnsafeBytes { bytes in
            var sent = 0
            while sent < bytes.count {
                let count = Glibc.send(fd, bytes.baseAddress! + sent, bytes.count - sent, 0)
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }
    }

    /// The next answer, without its end; nil when the server is gone.
    func line() -> String? {
        while true {
            if let newline = received[start..<end].firstIndex(of: 10) {
                defer { start = newline + 1 }
                return String(decoding: received[start..<newline - 1], as: UTF8.self)
            }
            received.replaceSubrange(0..<end - start, with: received[start..<end])
            end -= start
            start = 0
            let count = received.withUnsafeMutableBytes { recv(fd, $0.baseAddress! + end, $0.count - end, 0) }
            guard count > 0 else { return nil }
            end += count
        }
    }
}
