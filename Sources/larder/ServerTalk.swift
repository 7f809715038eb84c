import LarderServer

/// Text commands to one server, and the lines and values of its answers.
struct ServerTalk {
    /// A line that is longer is not memcached's: the longest has a key, percent-encoded.
    private static let lineBytesMax = 64 << 10
    private static let pieceBytes = 64 << 10

    private let channel: ServerChannel
    private var received: [UInt8] = []
    /// Where the bytes begin that no answer has been made of.
    private var start = 0

    /// Connects. The server may be silent for as long as `-t` says, each time.
    init(to server: PingSettings) throws(ServerFailure) {
        channel = try ServerChannel(to: server, .each(server.timeoutMilliseconds))
    }

    /// Ends the connection. Call it once.
    func close() { channel.close() }

    /// Sends all of the bytes.
    func send(_ bytes: [UInt8]) throws(ServerFailure) { try channel.send(bytes) }

    /// The next line, without its end.
    mutating func line() throws(ServerFailure) -> [UInt8] {
        var seen = 0
        while true {
            if let end = received[(start + seen)...].firstIndex(of: UInt8(ascii: "\n")) {
                var line = received[start..<end]
                start = end + 1
                if line.last == UInt8(ascii: "\r") { line.removeLast() }
                return Array(line)
            }
            seen = received.count - start
            guard seen <= Self.lineBytesMax else { throw ServerFailure(message: "a line of the answer has no end") }
            try receiveMore()
        }
    }

    /// So many bytes.
    mutating func bytes(_ count: Int) throws(ServerFailure) -> [UInt8] {
        while received.count - start < count { try receiveMore() }
        defer { start += count }
        return Array(received[start..<start + count])
    }

    private mutating func receiveMore() throws(ServerFailure) {
        if start > 0 { received.removeFirst(start) }
        start = 0
        let piece = try channel.receiveSome(Self.pieceBytes)
        guard !piece.isEmpty else {
            throw ServerFailure(
                message: received.isEmpty
                    ? "the connection was closed without an answer" : "the connection was closed within the answer")
        }
        received += piece
    }
}

extension ServerFailure {
    /// The server's answer is none that the command has.
    static func answered(_ line: [UInt8]) -> ServerFailure {
        ServerFailure(message: "it answered: \(PrintableText.string(line.prefix(200)))")
    }
}

/// Bytes of a server or of a key as text that moves no cursor and ends no line.
enum PrintableText {
    /// Control characters as `%XX`, and all other bytes as they are.
    static func bytes(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var text: [UInt8] = []
        for byte in bytes {
            if byte < UInt8(ascii: " ") || byte == 0x7f {
                text += "%\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))".utf8
            } else {
                text.append(byte)
            }
        }
        return text
    }

    static func string(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: Self.bytes(bytes), as: UTF8.self)
    }
}
