import Glibc
import LarderServer

/// Why a server counts as not there, as a sentence.
struct PingFailure: Error {
    var message: String
}

/// Asks a server for its version. 0: it answered, 1: it did not, and standard error says why.
func ping(_ settings: PingSettings) -> Int32 {
    do throws(PingFailure) {
        let answer = try askVersion(settings)
        if settings.isVerbose { write(answer + "\n", to: STDOUT_FILENO) }
        return 0
    } catch {
        write("larder ping: \(error.message)\n", to: STDERR_FILENO)
        return 1
    }
}

private func askVersion(_ settings: PingSettings) throws(PingFailure) -> String {
    let deadline = milliseconds() + settings.timeoutMilliseconds
    let descriptor =
        if let path = settings.unixSocketPath {
            try connectUnix(path, deadline: deadline)
        } else {
            try connectTCP(settings.host, port: settings.port, deadline: deadline)
        }
    defer { close(descriptor) }

    let channel = try PingChannel(descriptor, usesTLS: settings.usesTLS, deadline: deadline)
    defer { channel.close() }
    return settings.isBinary ? try askInBinary(channel) : try askInText(channel)
}

private func askInText(_ channel: PingChannel) throws(PingFailure) -> String {
    try channel.send(Array("version\r\n".utf8))
    let answer = try channel.receive { $0.last == UInt8(ascii: "\n") || $0.count >= 1024 }
    guard answer.last == UInt8(ascii: "\n") || answer.count < 1024 else {
        throw PingFailure(message: "the answer does not end")
    }
    let line = String(decoding: answer.prefix { $0 != 13 && $0 != 10 }, as: UTF8.self)
    // A server that wants a password first is there all the same, and so is one that has all the clients it may have.
    let isThere =
        line.hasPrefix("VERSION ") || line == "CLIENT_ERROR unauthenticated"
        || line == "ERROR Too many open connections"
    guard isThere, answer.last == UInt8(ascii: "\n") else {
        throw PingFailure(
            message: line.isEmpty ? "the connection was closed without an answer" : "it answered: \(line)")
    }
    return line
}

/// The version is told before SASL, too.
private func askInBinary(_ channel: PingChannel) throws(PingFailure) -> String {
    let headerLength = 24
    try channel.send([0x80, 0x0b] + [UInt8](repeating: 0, count: headerLength - 2))
    let answer = try channel.receive { answer in
        guard answer.count >= headerLength else { return false }
        // Its length is in four bytes, of which a version needs one.
        return answer.count >= headerLength + Int(answer[11]) || answer.count >= 1024
    }
    guard answer.count > headerLength, answer[0] == 0x81, answer[1] == 0x0b, answer[6] == 0, answer[7] == 0 else {
        throw PingFailure(
            message: answer.isEmpty ? "the connection was closed without an answer" : "it did not answer in binary")
    }
    return "VERSION " + String(decoding: answer[headerLength...], as: UTF8.self)
}

private func connectUnix(_ path: String, deadline: Int) throws(PingFailure) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
        guard bytes.count < room.count else { return false }
        room.copyBytes(from: bytes)
        return true
    }
    guard fits else { throw PingFailure(message: "the path of the socket is too long: \(path)") }
    // SAFETY: a sockaddr_un is what a sockaddr of family AF_UNIX stands for; its size goes with it.
    let descriptor = withUnsafePointer(to: &address) { address in
        address.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
            connectOne(AF_UNIX, address, socklen_t(MemoryLayout<sockaddr_un>.size), deadline: deadline)
        }
    }
    return try descriptor.orFailure("cannot connect to \(path)")
}

/// Tries each address of a host in turn; without a host, the loopback addresses.
private func connectTCP(_ host: String?, port: Int, deadline: Int) throws(PingFailure) -> Int32 {
    var hints = addrinfo()
    hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
    var list: UnsafeMutablePointer<addrinfo>?
    let status = getaddrinfo(host, String(port), &hints, &list)
    guard status == 0 else {
        throw PingFailure(
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
    do throws(PingFailure) {
        try wait(for: Int16(POLLOUT), on: descriptor, deadline: deadline)
    } catch {
        return error.message
    }
    var status: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &status, &size)
    return status == 0 ? nil : String(cString: strerror(status))
}

func wait(for events: Int16, on descriptor: Int32, deadline: Int) throws(PingFailure) {
    while true {
        var watched = pollfd(fd: descriptor, events: events, revents: 0)
        let count = poll(&watched, 1, Int32(clamping: max(0, deadline - milliseconds())))
        if count > 0 { return }
        if count < 0 && errno == EINTR { continue }
        throw PingFailure(message: count == 0 ? "no answer in time" : lastError())
    }
}

extension Result where Success == Int32, Failure == ConnectFailure {
    fileprivate func orFailure(_ what: String) throws(PingFailure) -> Int32 {
        switch self {
        case .success(let descriptor): return descriptor
        case .failure(let failure): throw PingFailure(message: "\(what): \(failure.reason)")
        }
    }
}

private func milliseconds() -> Int {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1000 + now.tv_nsec / 1_000_000
}

func lastError() -> String {
    String(cString: strerror(errno))
}
