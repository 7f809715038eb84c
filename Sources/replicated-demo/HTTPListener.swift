import Glibc

/// As much of HTTP as the example needs: `GET`, one connection after the other, each closed after its answer.
struct HTTPListener {
    struct Answer {
        var status: String
        var body: [UInt8]
    }

    private let descriptor: Int32
    private static let headBytesMax = 8192
    /// A client that sends nothing holds up the others for so long.
    private static let clientSecondsMax = 5

    init(address: String, port: UInt16) throws(ReplicatedDemo.Failure) {
        signal(SIGPIPE, SIG_IGN)
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var reuse: Int32 = 1
        var place = sockaddr_in()
        place.sin_family = sa_family_t(AF_INET)
        place.sin_port = port.bigEndian
        // SAFETY: each call reads or fills in values of this function, of the sizes that are given.
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        guard inet_pton(AF_INET, address, &place.sin_addr) == 1 else {
            throw .init(description: "\(address) is no IPv4 address")
        }
        let isBound = withUnsafePointer(to: &place) {
            // SAFETY: `bind` takes each kind of address by this type, with its size.
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isBound, listen(descriptor, 64) == 0 else {
            throw .init(description: "cannot listen on \(address):\(port): \(String(cString: strerror(errno)))")
        }
    }

    /// Waits for a request, and answers it.
    /// - Parameter answer: called with the path of a `GET`, without its first slash.
    func answerNext(_ answer: (String) -> Answer) throws(ReplicatedDemo.Failure) {
        let client = accept(descriptor, nil, nil)
        guard client >= 0 else {
            if errno == EINTR || errno == ECONNABORTED { return }
            throw .init(description: "cannot take a connection: \(String(cString: strerror(errno)))")
        }
        defer { close(client) }
        var time = timeval(tv_sec: Self.clientSecondsMax, tv_usec: 0)
        // SAFETY: reads a struct that is lent to it.
        setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        let words = Self.head(of: client).split(separator: " ")
        guard words.count >= 2, words[0] == "GET", words[1].hasPrefix("/") else {
            return Self.send(Answer(status: "400 Bad Request", body: []), to: client)
        }
        Self.send(answer(String(words[1].dropFirst())), to: client)
    }

    /// The bytes up to the first empty line.
    private static func head(of client: Int32) -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1024)
        while bytes.count < headBytesMax, bytes.suffix(4) != [13, 10, 13, 10] {
            let count = recv(client, &piece, piece.count, 0)
            guard count > 0 else { break }
            bytes += piece.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func send(_ answer: Answer, to client: Int32) {
        let head = "HTTP/1.1 \(answer.status)\r\nContent-Length: \(answer.body.count)\r\nConnection: close\r\n\r\n"
        var rest = (Array(head.utf8) + answer.body)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { write(client, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
