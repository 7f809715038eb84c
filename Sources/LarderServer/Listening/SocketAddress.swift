import Glibc

/// An end of a connection or a listener, as the kernel tells it. Looked up when somebody asks for it,
/// so that a connection need not store one.
package struct SocketAddress: Equatable {
    private let storage: sockaddr_storage
    private let length: Int

    /// Copies the address behind a pointer, as getaddrinfo returns it.
    init(_ address: UnsafePointer<sockaddr>, length: Int) {
        var storage = sockaddr_storage()
        self.length = min(length, MemoryLayout<sockaddr_storage>.size)
        // SAFETY: at most the size of the destination is copied, and the caller vouches for the source.
        memcpy(&storage, address, self.length)
        self.storage = storage
    }

    /// The other end of a connected socket; nil when it is gone.
    package static func peer(of fd: Int32) -> SocketAddress? {
        lookUp { getpeername(fd, $0, $1) }
    }

    /// The socket's own end: where a listener listens.
    package static func local(of fd: Int32) -> SocketAddress? {
        lookUp { getsockname(fd, $0, $1) }
    }

    private static func lookUp(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        return withUnsafeMutablePointer(to: &storage) { pointer in
            // SAFETY: the kernel writes at most `length` bytes; sockaddr_storage holds any address.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                call(address, &length) == 0 ? SocketAddress(address, length: Int(length)) : nil
            }
        }
    }

    /// AF_INET, AF_INET6 or AF_UNIX.
    var family: Int32 { Int32(storage.ss_family) }

    /// The TCP port; nil for a Unix socket.
    package var port: Int? {
        switch family {
        case AF_INET: Int(UInt16(bigEndian: view(as: sockaddr_in.self).sin_port))
        case AF_INET6: Int(UInt16(bigEndian: view(as: sockaddr_in6.self).sin6_port))
        default: nil
        }
    }

    /// The host in digits, without brackets; empty for a Unix socket.
    var host: String {
        switch family {
        case AF_INET: numeric(MemoryLayout.offset(of: \sockaddr_in.sin_addr))
        case AF_INET6: numeric(MemoryLayout.offset(of: \sockaddr_in6.sin6_addr))
        default: ""
        }
    }

    /// Whether nobody outside of this machine can send to it.
    var isLoopback: Bool {
        switch family {
        case AF_INET: return withUnsafeBytes(of: storage) { $0[4] == 127 }
        case AF_INET6:
            // Behind family, port and flow: fifteen zeros and a one.
            return withUnsafeBytes(of: storage) { $0[8..<23].allSatisfy { $0 == 0 } && $0[23] == 1 }
        default: return false
        }
    }

    /// Whether both have the same host. Ports are not compared.
    func isSameHost(as other: SocketAddress) -> Bool {
        guard family == other.family else { return false }
        let host: Range<Int>
        switch family {
        case AF_INET: host = 4..<8
        case AF_INET6: host = 8..<24
        default: return false
        }
        return withUnsafeBytes(of: storage) { own in
            withUnsafeBytes(of: other.storage) { own[host].elementsEqual($0[host]) }
        }
    }

    /// Whether it stands for every address of this machine.
    var isWildcard: Bool {
        let start = family == AF_INET ? 4 : 8
        let count = family == AF_INET ? 4 : 16
        return withUnsafeBytes(of: storage) { $0[start..<start + count].allSatisfy { $0 == 0 } }
    }

    /// Whether it is the address of a multicast group.
    var isMulticast: Bool {
        withUnsafeBytes(of: storage) { family == AF_INET ? $0[4] & 0xf0 == 0xe0 : family == AF_INET6 && $0[8] == 0xff }
    }

    /// Hashes the part of an address that identifies a host: the IPv4 address, also if it is mapped into IPv6, or the
    /// IPv6 network of 64 bits.
    func combineNetwork(into hasher: inout Hasher) {
        withUnsafeBytes(of: storage) { bytes in
            switch family {
            case AF_INET: hasher.combine(bytes: .init(rebasing: bytes[4..<8]))
            case AF_INET6:
                let host = bytes[8..<24]
                let isMapped = host.prefix(10).allSatisfy { $0 == 0 } && bytes[18] == 0xff && bytes[19] == 0xff
                hasher.combine(bytes: .init(rebasing: isMapped ? bytes[20..<24] : host.prefix(8)))
            default: hasher.combine(family)
            }
        }
    }

    /// As `text`, of a UDP socket.
    var datagramText: String { text.hasPrefix("tcp") ? "udp" + text.dropFirst(3) : text }

    /// As `stats conns` prints it: `tcp:127.0.0.1:4711`, `tcp6:[::1]:4711`, `unix:/run/larder.sock`.
    package var text: String {
        switch family {
        case AF_INET:
            return "tcp:\(host):\(port ?? 0)"
        case AF_INET6:
            return "tcp6:[\(host)]:\(port ?? 0)"
        case AF_UNIX:
            // A client's end of a Unix connection has no name.
            let path = unixPath
            return path.isEmpty ? "unix:<AF \(AF_UNIX)>" : "unix:\(ConfigurationReport.printable(path))"
        default:
            return "?:<AF \(family)>"
        }
    }

    package static func == (left: SocketAddress, right: SocketAddress) -> Bool {
        guard left.length == right.length else { return false }
        return withUnsafeBytes(of: left.storage) { left in
            withUnsafeBytes(of: right.storage) { right in
                // What is beyond the length is zero in both.
                left.elementsEqual(right)
            }
        }
    }

    /// Calls `body` with the address as bind takes it.
    func withSockaddr<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { pointer in
            // SAFETY: every socket address begins with the members of sockaddr.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(length)) }
        }
    }

    /// The same address at another port.
    func with(port: Int) -> SocketAddress {
        var copy = storage
        let value = UInt16(truncatingIfNeeded: port).bigEndian
        withUnsafeMutableBytes(of: &copy) { bytes in
            // Both families keep the port behind the family's two bytes.
            bytes.storeBytes(of: value, toByteOffset: 2, as: UInt16.self)
        }
        return withUnsafePointer(to: copy) { pointer in
            // SAFETY: as in withSockaddr.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                SocketAddress($0, length: length)
            }
        }
    }

    private func view<Address>(as type: Address.Type) -> Address {
        // SAFETY: sockaddr_storage is large and aligned enough for any address; the family was checked.
        withUnsafeBytes(of: storage) { $0.load(as: Address.self) }
    }

    /// The host without its port, in digits; its bytes are at `offset`.
    private func numeric(_ offset: Int?) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { text in
            withUnsafeBytes(of: storage) { bytes in
                // SAFETY: the offset is that of the family's own member, and the text has room for the
                // longest form; when the call fails nothing is read from it.
                let host = bytes.baseAddress.map { $0 + (offset ?? 0) }
                let result = inet_ntop(family, host, text.baseAddress, socklen_t(text.count))
                return result.map { String(cString: $0) } ?? ""
            }
        }
    }

    private var unixPath: String {
        withUnsafeBytes(of: storage) { bytes in
            // SAFETY: the range lies within the storage, whose unused bytes are zero.
            let path = bytes[MemoryLayout<sa_family_t>.size..<max(length, MemoryLayout<sa_family_t>.size)]
            // An abstract name begins with a zero, and has no file.
            let isAbstract = path.first == 0 && path.count > 1
            return (isAbstract ? "@" : "")
                + String(decoding: path.dropFirst(isAbstract ? 1 : 0).prefix { $0 != 0 }, as: UTF8.self)
        }
    }
}

extension SocketAddress {
    /// The address of a socket file; nil when the path is empty or too long for one.
    init?(unixPath path: String) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let count = path.utf8.count
        // One byte is the end mark.
        guard count > 0, count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        self = withUnsafePointer(to: address) { pointer in
            // SAFETY: every socket address begins with the members of sockaddr.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                SocketAddress($0, length: MemoryLayout<sockaddr_un>.size)
            }
        }
    }

    /// The address of an abstract Unix socket, which has a name and no file; nil when the name is empty or too long.
    init?(abstractName name: Substring) {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let count = name.utf8.count
        // The zero before the name takes one byte.
        guard count > 0, count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        withUnsafeMutableBytes(of: &address.sun_path) {
            UnsafeMutableRawBufferPointer(rebasing: $0[1...]).copyBytes(from: name.utf8)
        }
        self = withUnsafePointer(to: address) { pointer in
            // SAFETY: every socket address begins with the members of sockaddr. The length ends with the name.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                SocketAddress($0, length: MemoryLayout<sa_family_t>.size + 1 + count)
            }
        }
    }
}
