import Glibc
import LarderServer

/// What a client command leaves with.
enum AskExit {
    static let done: Int32 = 0
    /// The server did not answer, or it refused.
    static let failed: Int32 = 1
    /// There is no such key.
    static let missing: Int32 = 2
}

/// Has a server carry out a command, and prints the answer.
func ask(_ settings: ClientSettings) -> Int32 {
    do throws(ServerFailure) {
        var value: [UInt8] = []
        if case .set(_, let given) = settings.command {
            if let given { value = given } else { value = try readStandardInput(countMax: valueBytesMax) }
        }
        var talk = try ServerTalk(to: settings.server)
        defer { talk.close() }
        switch settings.command {
        case .stats(let words): try printStatistics(words, &talk)
        case .get(let key): return try printValue(of: key, &talk)
        case .set(let key, _): try store(value, key: key, &talk)
        case .delete(let key): return try delete(key, &talk)
        case .keys(let listing): try printKeys(listing, &talk)
        case .top(let once): try printRates(settings.server, once: once, &talk)
        }
        return AskExit.done
    } catch {
        write("larder \(settings.command.name): \(error.message)\n", to: STDERR_FILENO)
        return AskExit.failed
    }
}

// MARK: Statistics

private func printStatistics(_ words: [String], _ talk: inout ServerTalk) throws(ServerFailure) {
    try talk.send(Array((["stats"] + words).joined(separator: " ").utf8) + lineEnd)
    var output = StandardOutput()
    while true {
        let line = try talk.line()
        if line.elementsEqual("END".utf8) { break }
        let isAll = line.elementsEqual("RESET".utf8) || line.elementsEqual("OK".utf8)
        let isStatistic = line.starts(with: "STAT ".utf8)
        // `stats detail dump` and `stats cachedump` have lines of their own.
        guard isAll || isStatistic || line.starts(with: "PREFIX ".utf8) || line.starts(with: "ITEM ".utf8) else {
            throw .answered(line)
        }
        try output.add(PrintableText.bytes(isStatistic ? line[5...] : line[...]) + [UInt8(ascii: "\n")])
        if isAll { break }
    }
    try output.flush()
}

// MARK: Items

/// No server takes a larger value.
private let valueBytesMax = 1 << 30
private let lineEnd: [UInt8] = Array("\r\n".utf8)

/// Whether a classic command can name the key. Meta commands name the others in base64.
private func isPlain(_ key: [UInt8]) -> Bool { key.allSatisfy { $0 > UInt8(ascii: " ") && $0 != 0x7f } }

/// A command line, in the classic form or in meta form, as the key needs it. Texts stand around the key.
private func commandLine(_ key: [UInt8], _ classic: (String, String), _ meta: (String, String)) -> [UInt8] {
    let texts = isPlain(key) ? classic : meta
    return Array(texts.0.utf8) + (isPlain(key) ? key : Base64.encoded(key)) + Array(texts.1.utf8) + lineEnd
}

private func printValue(of key: [UInt8], _ talk: inout ServerTalk) throws(ServerFailure) -> Int32 {
    try talk.send(commandLine(key, ("get ", ""), ("mg ", " b v")))
    let line = try talk.line()
    if line.elementsEqual((isPlain(key) ? "END" : "EN").utf8) { return AskExit.missing }
    guard let count = valueLength(line, key) else { throw .answered(line) }
    let value = try talk.bytes(count)
    guard try talk.bytes(2) == lineEnd else { throw ServerFailure(message: "the value is not as long as it should be") }
    if isPlain(key) {
        let end = try talk.line()
        guard end.elementsEqual("END".utf8) else { throw .answered(end) }
    }
    var output = StandardOutput()
    try output.add(value)
    try output.flush()
    return AskExit.done
}

/// Of `VALUE key flags length` and `VA length`; nil: it is no such line.
private func valueLength(_ line: [UInt8], _ key: [UInt8]) -> Int? {
    let words = line.split(separator: UInt8(ascii: " "))
    let length: ArraySlice<UInt8>
    if isPlain(key) {
        guard words.count >= 4, words[0].elementsEqual("VALUE".utf8), words[1].elementsEqual(key) else { return nil }
        length = words[3]
    } else {
        guard words.count >= 2, words[0].elementsEqual("VA".utf8) else { return nil }
        length = words[1]
    }
    guard length.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
        let count = Int(String(decoding: length, as: UTF8.self)), count <= valueBytesMax
    else { return nil }
    return count
}

private func store(_ value: [UInt8], key: [UInt8], _ talk: inout ServerTalk) throws(ServerFailure) {
    let line = commandLine(key, ("set ", " 0 0 \(value.count)"), ("ms ", " \(value.count) b"))
    var failure: ServerFailure?
    do throws(ServerFailure) { try talk.send(line + value + lineEnd) } catch { failure = error }
    // A server that refuses a value may close before it has read all of it. Then its answer has the reason.
    let answer: [UInt8]
    do throws(ServerFailure) { answer = try talk.line() } catch { throw failure ?? error }
    guard answer.elementsEqual((isPlain(key) ? "STORED" : "HD").utf8) else { throw .answered(answer) }
}

private func delete(_ key: [UInt8], _ talk: inout ServerTalk) throws(ServerFailure) -> Int32 {
    try talk.send(commandLine(key, ("delete ", ""), ("md ", " b")))
    let answer = try talk.line()
    if answer.elementsEqual((isPlain(key) ? "DELETED" : "HD").utf8) { return AskExit.done }
    if answer.elementsEqual((isPlain(key) ? "NOT_FOUND" : "NF").utf8) { return AskExit.missing }
    throw .answered(answer)
}

/// Bytes in base64, with padding.
private enum Base64 {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encoded(_ bytes: [UInt8]) -> [UInt8] {
        var text: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            let word = part.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - part.count))
            for place in 0..<4 {
                text.append(place <= part.count ? digits[word >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
            }
        }
        return text
    }
}
