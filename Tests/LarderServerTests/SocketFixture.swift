import Glibc
import Testing

@testable import LarderServer

/// Settings for listeners on any free port of the loopback interface.
func ephemeralSettings(hosts: [String] = ["127.0.0.1"]) -> Settings {
    var settings = Settings()
    settings.tcpPort = -1
    settings.listenAddresses = hosts.map { Settings.ListenAddress(host: $0) }
    return settings
}

/// A client's blocking socket, connected to a listener; closed when it goes.
final class TestClient {
    let fd: Int32

    init(to listener: Listener) throws {
        let address = try #require(listener.address)
        fd = socket(address.family, Int32(SOCK_STREAM.rawValue), 0)
        try #require(fd >= 0)
        try #require(address.withSockaddr { connect(fd, $0, $1) } == 0)
    }

    deinit {
        close(fd)
    }

    /// Everything until the server's end closes.
    func readToEnd() -> String {
        var text: [UInt8] = []
        var bytes = [UInt8](repeating: 0, count: 256)
        while true {
            let count = read(fd, &bytes, bytes.count)
            guard count > 0 else { break }
            text += bytes[..<count]
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// A directory that goes with its object; its files must be removed by then.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = "/tmp/larder-test-XXXXXX".utf8CString.map { $0 }
        let made = try #require(mkdtemp(&template))
        path = String(cString: made)
    }

    func file(_ name: String) -> String { path + "/" + name }

    deinit {
        if let directory = opendir(path) {
            while let entry = readdir(directory) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                unlink(file(name))
            }
            closedir(directory)
        }
        rmdir(path)
    }
}

/// The text of a small file; nil when there is none.
func contents(of path: String) -> String? {
    let fd = open(path, O_RDONLY)
    guard fd >= 0 else { return nil }
    defer { close(fd) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(fd, &bytes, bytes.count)
    return count < 0 ? nil : String(decoding: bytes[..<count], as: UTF8.self)
}
