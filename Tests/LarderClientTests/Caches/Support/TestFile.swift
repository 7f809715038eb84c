import Glibc

/// A path that nothing is at, in a directory of its own that goes with this.
final class TestFile: Sendable {
    let path: String
    private let directory: String

    init() {
        var template = Array("/dev/shm/larder-client.XXXXXX".utf8CString)
        // Where there is no memory file system, the other place does.
        if mkdtemp(&template) == nil {
            template = Array("/tmp/larder-client.XXXXXX".utf8CString)
            _ = mkdtemp(&template)
        }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        path = directory + "/store"
    }

    deinit {
        unlink(path)
        rmdir(directory)
    }
}
