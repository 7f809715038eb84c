import Glibc

/// A file for a store, in memory, removed at the end.
package final class StoreTestFile {
    package let path: String
    private var image: [UInt8] = []

    package init() throws {
        var template = Array("/dev/shm/larder-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw StoreTestFileError(what: "mkdtemp", errno: errno) }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/store"
    }

    deinit {
        let directory = String(path.dropLast("/store".count))
        for name in names { unlink(directory + "/" + name) }
        rmdir(directory)
    }

    /// What is in the file's directory.
    package var names: [String] {
        guard let directory = opendir(String(path.dropLast("/store".count))) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    package var bytes: [UInt8] {
        get throws {
            let fd = open(path, O_RDONLY)
            guard fd >= 0 else { throw StoreTestFileError(what: "open", errno: errno) }
            defer { close(fd) }
            var status = stat()
            fstat(fd, &status)
            var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
            guard read(fd, &bytes, bytes.count) == bytes.count else {
                throw StoreTestFileError(what: "read", errno: errno)
            }
            return bytes
        }
    }

    /// Puts a file with these bytes in the place of the one that is there.
    package func replace(with bytes: [UInt8]) throws {
        unlink(path)
        let fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
        guard fd >= 0 else { throw StoreTestFileError(what: "open", errno: errno) }
        defer { close(fd) }
        guard write(fd, bytes, bytes.count) == bytes.count else {
            throw StoreTestFileError(what: "write", errno: errno)
        }
    }

    /// Remembers the file as it is at this instant: what a kill would leave.
    package func keepImage() throws { image = try bytes }
    package func restoreImage() throws { try replace(with: image) }
}

package struct StoreTestFileError: Error {
    package var what: String
    package var errno: Int32
}
