import Glibc

/// One connection that is written to and read from in turn, with buffers of its own.
final class BlockingConnection {
    private let descriptor: Int32
    private var output: [UInt8] = []
    private var input = [UInt8](repeating: 0, count: 1 << 20)
    private var start = 0
    private var end = 0
    private let filler = [UInt8](repeating: 0x61, count: 1 << 20)

    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw ServerRunError(description: "socket: \(errno)") }
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // SAFETY: connect takes any address as a sockaddr and is told its size.
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, size) }
        }
        guard result == 0 else { throw ServerRunError(description: "connect to port \(port): \(errno)") }
    }

    deinit { close(descriptor) }

    // MARK: Requests

    func writeGet(_ key: UInt32, _ requests: Requests, _ dialect: ServerDialect) {
        switch dialect {
        case .memcached: output += "get ".utf8
        case .redis: output += "*2\r\n$3\r\nGET\r\n$\(Requests.keyBytes)\r\n".utf8
        }
        appendKey(key, requests)
        output += "\r\n".utf8
    }

    func writeSet(_ key: UInt32, _ requests: Requests, _ dialect: ServerDialect) {
        let length = requests.valueBytes(key)
        let lifetime = requests.lifetimeSeconds(key)
        switch dialect {
        case .memcached:
            output += "set ".utf8
            appendKey(key, requests)
            output += " 0 \(lifetime) \(length)\r\n".utf8
        case .redis:
            output += "*\(lifetime > 0 ? 5 : 3)\r\n$3\r\nSET\r\n$\(Requests.keyBytes)\r\n".utf8
            appendKey(key, requests)
            output += "\r\n$\(length)\r\n".utf8
        }
        output += filler[..<length]
        output += "\r\n".utf8
        if dialect == .redis, lifetime > 0 { output += "$2\r\nEX\r\n$1\r\n\(lifetime)\r\n".utf8 }
    }

    private func appendKey(_ key: UInt32, _ requests: Requests) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Requests.keyBytes) { bytes in
            // SAFETY: the allocation has `keyBytes` bytes, and they are all written before they are read.
            guard let base = bytes.baseAddress else { return }
            requests.writeKey(key, to: base)
            output += bytes
        }
    }

    func send() throws {
        var sent = 0
        while sent < output.count {
            let count = output.withUnsafeBytes { bytes in
                write(descriptor, bytes.baseAddress.map { $0 + sent }, bytes.count - sent)
            }
            guard count > 0 else { throw ServerRunError(description: "write: \(errno)") }
            sent += count
        }
        output.removeAll(keepingCapacity: true)
    }

    // MARK: Answers

    /// Reads the answer to a get; true for a hit.
    func readValue(_ dialect: ServerDialect) throws -> Bool {
        let line = try readLine()
        switch dialect {
        case .memcached:
            if line == "END" { return false }
            let words = line.split(separator: " ")
            guard words.count >= 4, words[0] == "VALUE", let length = Int(words[3]) else {
                throw ServerRunError(description: "unexpected answer: \(line)")
            }
            try skip(length + 2)
            guard try readLine() == "END" else { throw ServerRunError(description: "no END") }
            return true
        case .redis:
            guard line.first == "$", let length = Int(line.dropFirst()) else {
                throw ServerRunError(description: "unexpected answer: \(line)")
            }
            if length < 0 { return false }
            try skip(length + 2)
            return true
        }
    }

    func readStored(_ dialect: ServerDialect) throws -> Bool {
        try readLine() == (dialect == .memcached ? "STORED" : "+OK")
    }

    private func readLine() throws -> String {
        var searched = start
        while true {
            while searched + 1 < end {
                if input[searched] == 13, input[searched + 1] == 10 {
                    let line = String(decoding: input[start..<searched], as: UTF8.self)
                    start = searched + 2
                    return line
                }
                searched += 1
            }
            let done = searched - start
            try fill()
            searched = start + done
        }
    }

    private func skip(_ count: Int) throws {
        while end - start < count { try fill() }
        start += count
    }

    private func fill() throws {
        if start > 0 {
            input.replaceSubrange(0..<end - start, with: Array(input[start..<end]))
            end -= start
            start = 0
        }
        guard end < input.count else { throw ServerRunError(description: "an answer without end") }
        let room = input.count - end
        let at = end
        let count = input.withUnsafeMutableBytes { bytes in
            read(descriptor, bytes.baseAddress.map { $0 + at }, room)
        }
        guard count > 0 else { throw ServerRunError(description: "the server closed the connection") }
        end += count
    }
}
