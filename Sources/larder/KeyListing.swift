import Glibc
import LarderServer

/// How long after a refusal the server is asked again: it is busy with another list.
private let busyPauseMilliseconds: Int32 = 50

/// Keys of one page of a list.
private let pageKeysMax = 10_000
/// No key is longer.
private let keyBytesMax = 250

/// Prints the keys that begin as asked.
func printKeys(_ listing: KeyListing, _ talk: inout ServerTalk) throws(ServerFailure) {
    guard listing.limit != 0, listing.prefix.count <= keyBytesMax else { return }
    var output = StandardOutput()
    if try !printPages(listing, &talk, &output) { try printDump(listing, &talk, &output) }
    try output.flush()
}

/// Prints the keys of `lru_crawler scan`, which a Larder has.
/// - Returns: whether the server has it.
private func printPages(
    _ listing: KeyListing, _ talk: inout ServerTalk, _ output: inout StandardOutput
) throws(ServerFailure) -> Bool {
    var left = listing.limit ?? Int.max
    var cursor = listing.cursor ?? 0
    let prefix = percentEncoded(listing.prefix)
    repeat {
        try talk.send(Array("lru_crawler scan \(cursor) \(min(left, pageKeysMax)) \(prefix)\r\n".utf8))
        var line = try talk.line()
        if line.elementsEqual("ERROR".utf8) {
            guard listing.cursor == nil else { throw ServerFailure(message: "the server has no lists with a cursor") }
            return false
        }
        while !line.elementsEqual("END".utf8) {
            if let key = key(of: line) {
                try output.add(listing.printed(key))
                left -= 1
            } else {
                cursor = try nextCursor(of: line)
            }
            line = try talk.line()
        }
    } while cursor != 0 && left > 0
    // Standard output has keys only.
    if listing.cursor != nil {
        try output.flush()
        write("larder keys: the next cursor is \(cursor)\n", to: STDERR_FILENO)
    }
    return true
}

/// Of `CURSOR number`. Any other line is an error of the server.
private func nextCursor(of line: [UInt8]) throws(ServerFailure) -> UInt64 {
    let word = Array("CURSOR ".utf8)
    guard line.starts(with: word), let cursor = UInt64(String(decoding: line[word.count...], as: UTF8.self)) else {
        throw .answered(line)
    }
    return cursor
}

/// Prints the keys of `lru_crawler metadump hash` that begin as asked.
///
/// A walk of the hash table lists a key that is there all the time once. A walk of the lists by use, `metadump all`,
/// misses a key that moves between two lists meanwhile (memcached's pull requests 193 and 735). A memcached before
/// 1.6.9 has only that one: it takes `hash` for the number of a class.
private func printDump(
    _ listing: KeyListing, _ talk: inout ServerTalk, _ output: inout StandardOutput
) throws(ServerFailure) {
    var left = listing.limit ?? Int.max
    var walk = "hash"
    let deadline = milliseconds() + listing.busyMilliseconds
    try talk.send(Array("lru_crawler metadump \(walk)\r\n".utf8))
    while left > 0 {
        let line = try talk.line()
        if line.elementsEqual("END".utf8) { break }
        if line.elementsEqual("OK".utf8) { continue }
        let isBusy = line.starts(with: "BUSY".utf8) && milliseconds() < deadline
        let isOld = walk == "hash" && line.starts(with: "BADCLASS".utf8)
        if isBusy || isOld {
            if isBusy { poll(nil, 0, busyPauseMilliseconds) }
            if isOld { walk = "all" }
            try talk.send(Array("lru_crawler metadump \(walk)\r\n".utf8))
            continue
        }
        guard let key = key(of: line) else { throw .answered(line) }
        guard key.starts(with: listing.prefix) else { continue }
        try output.add(listing.printed(key))
        left -= 1
    }
}

/// The key of a line of the list; nil: it is another line.
private func key(of line: [UInt8]) -> [UInt8]? {
    guard line.starts(with: "key=".utf8) else { return nil }
    return percentDecoded(line[4...].prefix { $0 != UInt8(ascii: " ") })
}

extension KeyListing {
    fileprivate func printed(_ key: [UInt8]) -> [UInt8] {
        endsInNull ? key + [0] : PrintableText.bytes(key) + [UInt8(ascii: "\n")]
    }
}

/// Each byte as `%XX`.
private func percentEncoded(_ bytes: [UInt8]) -> String {
    bytes.map { "%" + ($0 < 16 ? "0" : "") + String($0, radix: 16, uppercase: true) }.joined()
}

/// `%XX` as the byte that it stands for. A percent sign without two digits stands for itself.
private func percentDecoded(_ text: ArraySlice<UInt8>) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = text
    while let first = rest.popFirst() {
        let digits = rest.prefix(2).compactMap { Character(UnicodeScalar($0)).hexDigitValue }
        if first == UInt8(ascii: "%"), digits.count == 2 {
            bytes.append(UInt8(truncatingIfNeeded: digits[0] << 4 | digits[1]))
            rest = rest.dropFirst(2)
        } else {
            bytes.append(first)
        }
    }
    return bytes
}
