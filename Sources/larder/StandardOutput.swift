import Glibc

/// Standard output, in large pieces, and standard input.
struct StandardOutput {
    private static let pieceBytes = 64 << 10
    private var held: [UInt8] = []

    /// Bytes that are written with the next piece.
    mutating func add(_ bytes: some Sequence<UInt8>) throws(ServerFailure) {
        held += bytes
        if held.count >= Self.pieceBytes { try flush() }
    }

    /// Writes all that was added.
    mutating func flush() throws(ServerFailure) {
        var written = 0
        while written < held.count {
            // SAFETY: the pointer is used during the call only, for as many bytes as there are.
            let count = held[written...].withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw ServerFailure(message: "cannot write: \(lastError())") }
            written += count
        }
        held.removeAll(keepingCapacity: true)
    }
}

/// All of standard input, up to `countMax` bytes.
func readStandardInput(countMax: Int) throws(ServerFailure) -> [UInt8] {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while true {
        let count = read(STDIN_FILENO, &piece, piece.count)
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { throw ServerFailure(message: "cannot read standard input: \(lastError())") }
        if count == 0 { return bytes }
        bytes += piece[..<count]
        guard bytes.count <= countMax else { throw ServerFailure(message: "the value is larger than 1 GB") }
    }
}
