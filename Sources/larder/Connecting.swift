import Glibc

/// Why a server did not do what it was asked, as a sentence.
struct ServerFailure: Error {
    var message: String
}

/// A socket that is connected to the listener at a path.
func connectUnix(_ path: String, deadline: Int) throws(ServerFailure) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
        guard bytes.count < room.count else { return false }
        room.copyBytes(from: bytes)
        return true
    }
    guard fits else { throw ServerFailure(message: "the path of the socket is too long: \(path)") }
    // SAFETY: a sockaddr_un is what a sockaddr of family AF_UNIX stands for; its size goes with it.
    let descriptor = withUnsafePointer(to: &address) { address in
        address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            connectOne(AF_UNIX, address, socklen_t(MemoryLayout<sockaddr_un>.size), deadline: deadline)
        }
    }
    return try descriptor.orFailure("cannot connect to \(path)")
}

/// Tries each address of a host in turn; without a host, the loopback addresses.
func connectTCP(_ host: String?, port: Int, deadline: Int) throws(ServerFailure) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, String(port), &hints, &list)
    guard status == 0 else {
        throw ServerFailure(
            message: "no address for \(host ?? "this machine"): \(String(cString: gai_strerror(status)))")
    }
    defer { freeaddrinfo(list) }
    var result = Result<Int32, ConnectFailure>.failure(ConnectFailure(reason: "no address"))
    var next = list
    while let one = next {
        result = connectOne(
            one.pointee.ai_family, one.pointee.ai_addr, one.pointee.ai_addrlen, deadline: deadline)
        if case .success = result { break }
        next = one.pointee.ai_next
    }
    return try result.orFailure("cannot connect to \(host ?? "this machine"), port \(port)")
}

private struct ConnectFailure: Error {
    var reason: String
}

private func connectOne(
    _ family: Int32, _ address: UnsafePointer<sockaddr>?, _ length: socklen_t, deadline: Int
) -> Result<Int32, ConnectFailure> {
    let type = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
    let descriptor = socket(family, type, 0)
    guard descriptor >= 0 else { return .failure(ConnectFailure(reason: lastError())) }
    var failure: String?
    if connect(descriptor, address, length) != 0 {
        if errno == EINPROGRESS {
            failure = finishConnecting(descriptor, deadline: deadline)
        } else {
            failure = lastError()
        }
    }
    guard let failure else { return .success(descriptor) }
    close(descriptor)
    return .failure(ConnectFailure(reason: failure))
}

/// nil once connected.
private func finishConnecting(_ descriptor: Int32, deadline: Int) -> String? {
    do throws(ServerFailure) {
        try wait(for: Int16(POLLOUT), on: descriptor, deadline: deadline)
    } catch {
        return error.message
    }
    var status: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &status, &size)
    return status == 0 ? nil : String(cString: strerror(status))
}

/// Returns when one of the events has come; throws at the deadline.
func wait(for events: Int16, on descriptor: Int32, deadline: Int) throws(ServerFailure) {
    while true {
        var watched = pollfd(fd: descriptor, events: events, revents: 0)
        let count = poll(&watched, 1, Int32(clamping: max(0, deadline - milliseconds())))
        if count > 0 { return }
        if count < 0 && errno == EINTR { continue }
        throw ServerFailure(message: count == 0 ? "no answer in time" : lastError())
    }
}

extension Result where Success == Int32, Failure == ConnectFailure {
    fileprivate func orFailure(_ what: String) throws(ServerFailure) -> Int32 {
        switch self {
        case .success(let descriptor): return descriptor
        case .failure(let failure): throw ServerFailure(message: "\(what): \(failure.reason)")
        }
    }
}

/// The monotonic clock.
func milliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

/// The system's words for `errno`.
func lastError() -> String {
    String(cString: strerror(errno))
}
