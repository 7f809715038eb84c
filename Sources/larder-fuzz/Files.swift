import Glibc

/// Reads and writes whole files.
enum Files {
    struct Failure: Error, CustomStringConvertible {
        let path: String
        let error: Int32
        var description: String { "\(path): \(String(cString: strerror(error)))" }
    }

    static func bytes(of path: String) throws -> [UInt8] {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { throw Failure(path: path, error: errno) }
        defer { close(fd) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(fd, &piece, piece.count)
            guard count >= 0 else { throw Failure(path: path, error: errno) }
            if count == 0 { return bytes }
            bytes += piece[..<count]
        }
    }

    static func write(_ bytes: [UInt8], to path: String) throws {
        let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard fd >= 0 else { throw Failure(path: path, error: errno) }
        defer { close(fd) }
        guard Glibc.write(fd, bytes, bytes.count) == bytes.count else {
            throw Failure(path: path, error: errno)
        }
    }

    static func write(_ text: String, to descriptor: Int32) {
        let bytes = Array(text.utf8)
        _ = Glibc.write(descriptor, bytes, bytes.count)
    }

    static func names(in directory: String) throws -> [String] {
        guard let stream = opendir(directory) else { throw Failure(path: directory, error: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }
}
