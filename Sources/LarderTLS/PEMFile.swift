import Glibc

/// A file of certificates or keys, as text. OpenSSL takes a bundle that is cut off in its second certificate for a
/// bundle of one. The server would then refuse the clients of the lost certificates, without any message.
struct PEMFile: Equatable {
    private let contents: [UInt8]

    /// Larger than any bundle: a system's bundle of all public authorities has a quarter of a megabyte.
    private static let bytesMax = 16 << 20

    /// nil: the file cannot be read, which OpenSSL reports, or it can be read only once, as a pipe.
    init?(_ path: String) {
        // A pipe is not opened: its writer would take this for the real reader.
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { return nil }
        defer { close(fd) }
        var contents: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16 << 10)
        while true {
            // SAFETY: at most the array's own length is read into it.
            let count = read(fd, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0, contents.count <= Self.bytesMax else { return nil }
            if count == 0 { break }
            contents += piece[..<count]
        }
        self.contents = contents
    }

    init(contents: [UInt8]) { self.contents = contents }

    /// Why the file is incomplete; nil: it is complete. Text between the blocks is ignored.
    var fault: String? {
        var open: ArraySlice<UInt8>?
        var isEmpty = true
        let lines = contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (number, line) in lines.enumerated() {
            let line = Self.trimmed(line)
            if let label = open {
                if line.starts(with: Self.begin) { return Self.cutOff }
                guard line.elementsEqual(Self.end + label) else { continue }
                open = nil
                isEmpty = false
            } else if line.starts(with: Self.begin) {
                guard line.count > Self.begin.count + Self.dashes.count,
                    line.suffix(Self.dashes.count) == Self.dashes[...]
                else { return Self.cutOff }
                open = line.dropFirst(Self.begin.count)
            } else if number == lines.count - 1, !line.isEmpty, Self.begin.starts(with: line) {
                // The file ends within the BEGIN line of a block.
                return Self.cutOff
            }
        }
        if open != nil { return Self.cutOff }
        return isEmpty ? "the file has no certificate and no key" : nil
    }

    private static let begin = Array("-----BEGIN ".utf8)
    private static let end = Array("-----END ".utf8)
    private static let dashes = Array("-----".utf8)
    private static let cutOff = "the file is cut off: a block in it has no END line"

    /// The line without the blanks at its end, as OpenSSL reads it.
    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line
        while let last = line.last, last <= UInt8(ascii: " ") { line.removeLast() }
        return line
    }
}
