import Glibc
import LarderClient

extension LarderTestServer {
    /// An address that is the server's, also while it is stopped.
    final class Place: Sendable {
        let address: ServerAddress
        /// A socket that has the port and never listens: nobody else gets the port, and nobody can connect.
        private let reservation: Int32?
        private let directory: String?

        init(_ transport: Configuration.Transport) throws(LarderTestServerError) {
            switch transport {
            case .tcp:
                let (descriptor, port) = try Self.reservePort()
                reservation = descriptor
                directory = nil
                address = .host("127.0.0.1", port: port)
            case .unixSocket:
                let path = try Self.makeDirectory()
                reservation = nil
                directory = path
                address = .unixSocket(path: path + "/socket")
            }
        }

        deinit {
            if let reservation { close(reservation) }
            guard let directory else { return }
            if case .unixSocket(let path) = address { unlink(path) }
            rmdir(directory)
        }

        private static func reservePort() throws(LarderTestServerError) -> (descriptor: Int32, port: Int) {
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { throw failure("socket") }
            var one: Int32 = 1
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            // Both this and the listener say SO_REUSEADDR: then they share the port while only one listens.
            let isBound =
                setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, socklen_t(MemoryLayout<Int32>.size))
                == 0
                && withUnsafeMutablePointer(to: &address) { pointer in
                    // SAFETY: sockaddr_in begins with the members of sockaddr, and the length is its own.
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(descriptor, $0, length) == 0 && getsockname(descriptor, $0, &length) == 0
                    }
                }
            guard isBound else {
                let error = failure("bind")
                close(descriptor)
                throw error
            }
            return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
        }

        private static func makeDirectory() throws(LarderTestServerError) -> String {
            // SAFETY: the text is copied at once.
            let given = getenv("TMPDIR").map { String(cString: $0) } ?? ""
            // A socket's path has 107 bytes at most.
            let parent = (1...80).contains(given.utf8.count) ? given : "/tmp"
            var template = Array("\(parent)/larder-XXXXXX".utf8CString)
            guard mkdtemp(&template) != nil else { throw failure("mkdtemp in \(parent)") }
            return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }

        private static func failure(_ call: String) -> LarderTestServerError {
            // SAFETY: strerror's text is copied before another call can change it.
            LarderTestServerError(message: "\(call): \(String(cString: strerror(errno)))")
        }
    }
}
