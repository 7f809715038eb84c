import Glibc

/// A file of certificates or keys, as text. OpenSSL takes a bundle that ends within its second certificate for a
/// bundle of one: whoever is in the lost part would be refused, without a word.
struct PEMFile: Equatable {
    private let contents: [UInt8]

    /// Larger than any bundle: what all systems trust together has a quarter of a megabyte.
    private static let bytesMax = 16 << 20

    /// nil: it cannot be read, about which OpenSSL has words, or only once, as a pipe.
    init?(_ path: String) {
        // Not even opened: the writer of a pipe would take that for its reader.
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

    /// Why the file is not whole; nil: it is. Text between the blocks is for people.
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
                guard line.count > Self.begin.count + Self.dashes.count, line.suffix(Self.dashes.count) == Self.dashes[...]
                else { return Self.cutOff }
                open = line.dropFirst(Self.begin.count)
            } else if number == lines.count - 1, !line.isEmpty, Self.begin.starts(with: line) {
                // The first bytes of a block that lost the rest.
                return Self.cutOff
            }
        }
        if open != nil { return Self.cutOff }
        return isEmpty ? "the file has no certificate and no key" : nil
    }

    private static let begin = Array("-----BEGIN ".utf8)
    private static let end = Array("-----END ".utf8)
    private static let dashes = Array("-----".utf8)
    private static let cutOff = "the file is not whole, a block in it has no end"

    /// Without the blanks at its end, as OpenSSL reads it.
    private static func trimmed(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var line = line
        while let last = line.last, last <= UInt8(ascii: " ") { line.removeLast() }
        return line
    }
}
