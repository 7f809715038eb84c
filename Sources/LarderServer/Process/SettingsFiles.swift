import Glibc

/// Reads the files that settings come from. A relative path begins at the directory of the start.
package struct SettingsFiles: Sendable {
    private let directory: String?

    /// Notes the current directory.
    package init() {
        // SAFETY: getcwd allocates its result, which is copied and freed here.
        let directory = getcwd(nil, 0)
        defer { free(directory) }
        self.directory = directory.map { String(cString: $0) }
    }

    /// The bytes of the file. If it is too long, they end soon after the limit.
    package func contents(_ path: String) -> ConfigurationContents {
        let isRelative = !path.hasPrefix("/")
        guard !isRelative || directory != nil else { return .failed("the current directory is not known") }
        // Without O_NONBLOCK the server would wait if the file were a pipe.
        let fd = open(isRelative ? "\(directory ?? "")/\(path)" : path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { return .failed(describe(error: errno)) }
        defer { close(fd) }
        var status = stat()
        guard fstat(fd, &status) == 0 else { return .failed(describe(error: errno)) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while bytes.count <= ConfigurationFile.bytesMax {
            // SAFETY: at most the array's own length is read into it.
            let count = read(fd, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failed(describe(error: errno)) }
            if count == 0 { break }
            bytes += piece[..<count]
        }
        let isRegular = status.st_mode & S_IFMT == S_IFREG
        return .bytes(bytes, isWritableByAll: isRegular && status.st_mode & S_IWOTH != 0)
    }
}
