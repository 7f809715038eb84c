import Glibc
import LarderServer

/// Asks a server for its version. 0: it answered, 1: it did not, and standard error says why.
func ping(_ settings: PingSettings) -> Int32 {
    do throws(ServerFailure) {
        let answer = try askVersion(settings)
        if settings.isVerbose { write(answer + "\n", to: STDOUT_FILENO) }
        return 0
    } catch {
        write("larder ping: \(error.message)\n", to: STDERR_FILENO)
        return 1
    }
}

private func askVersion(_ settings: PingSettings) throws(ServerFailure) -> String {
    let deadline = milliseconds() + settings.timeoutMilliseconds
    let channel = try ServerChannel(to: settings, .until(deadline))
    defer { channel.close() }
    if settings.asksHealth { return try askHealth(channel) }
    return settings.isBinary ? try askInBinary(channel) : try askInText(channel)
}

/// The admin listener closes the connection behind its answer.
private func askHealth(_ channel: ServerChannel) throws(ServerFailure) -> String {
    try channel.send(Array("GET /healthz HTTP/1.0\r\n\r\n".utf8))
    let answer = try channel.receive { $0.contains(UInt8(ascii: "\n")) || $0.count >= 1024 }
    let line = PrintableText.string(answer.prefix { $0 != 13 && $0 != 10 }.prefix(200))
    let words = line.split(separator: " ", maxSplits: 2)
    guard words.count >= 2, words[0].hasPrefix("HTTP/1."), words[1] == "200" else {
        throw ServerFailure(
            message: line.isEmpty ? "the connection was closed without an answer" : "it answered: \(line)")
    }
    return line
}

private func askInText(_ channel: ServerChannel) throws(ServerFailure) -> String {
    try channel.send(Array("version\r\n".utf8))
    let answer = try channel.receive { $0.last == UInt8(ascii: "\n") || $0.count >= 1024 }
    guard answer.last == UInt8(ascii: "\n") || answer.count < 1024 else {
        throw ServerFailure(message: "the answer does not end")
    }
    let line = String(decoding: answer.prefix { $0 != 13 && $0 != 10 }, as: UTF8.self)
    // A server that wants a password first is there all the same, and so is one that has all the clients it may have.
    let isThere =
        line.hasPrefix("VERSION ") || line == "CLIENT_ERROR unauthenticated"
        || line == "ERROR Too many open connections"
    guard isThere, answer.last == UInt8(ascii: "\n") else {
        throw ServerFailure(
            message: line.isEmpty ? "the connection was closed without an answer" : "it answered: \(line)")
    }
    return line
}

/// The version is told before SASL, too.
private func askInBinary(_ channel: ServerChannel) throws(ServerFailure) -> String {
    let headerLength = 24
    try channel.send([0x80, 0x0b] + [UInt8](repeating: 0, count: headerLength - 2))
    let answer = try channel.receive { answer in
        guard answer.count >= headerLength else { return false }
        // Its length is in four bytes, of which a version needs one.
        return answer.count >= headerLength + Int(answer[11]) || answer.count >= 1024
    }
    guard answer.count > headerLength, answer[0] == 0x81, answer[1] == 0x0b, answer[6] == 0, answer[7] == 0 else {
        throw ServerFailure(
            message: answer.isEmpty ? "the connection was closed without an answer" : "it did not answer in binary")
    }
    return "VERSION " + String(decoding: answer[headerLength...], as: UTF8.self)
}
