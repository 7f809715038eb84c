import Glibc
import Synchronization

/// A directory for what one test needs, and what is in its files.
package enum TestDirectory {
    /// The directories that this process has made. Those that are left at its end are removed then, since certificates
    /// are for all tests of a process.
    private static let made = Mutex<[String]>([])

    /// Makes one under a name of its own. It is removed at the end of the process at the latest.
    package static func make() throws(ServerStartError) -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/larder-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw ServerStartError(description: "mkdtemp: \(String(cString: strerror(errno)))")
        }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let isFirst = made.withLock { made in
            made.append(path)
            return made.count == 1
        }
        if isFirst { atexit { TestDirectory.removeAll() } }
        return path
    }

    /// Removes a directory of files, and the files.
    package static func remove(_ path: String) {
        if let directory = opendir(path) {
            defer { closedir(directory) }
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
                    // SAFETY: d_name is an array of 256 bytes that ends with a zero.
                    tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." { unlink(path + "/" + name) }
            }
        }
        rmdir(path)
    }

    private static func removeAll() {
        for path in made.withLock({ $0 }) { remove(path) }
    }

    /// The text of a file; nil if it can't be read.
    static func text(of path: String) -> String? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }
}
