import Glibc
import LarderServer

/// How long after a refusal the server is asked again: it is busy with another list.
private let busyPauseMilliseconds: Int32 = 50

/// Prints the keys of `lru_crawler metadump all` that begin as asked.
func printKeys(_ listing: KeyListing, _ talk: inout ServerTalk) throws(ServerFailure) {
    guard listing.limit != 0 else { return }
    var output = StandardOutput()
    var left = listing.limit ?? Int.max
    let deadline = milliseconds() + listing.busyMilliseconds
    try talk.send(Array("lru_crawler metadump all\r\n".utf8))
    while left > 0 {
        let line = try talk.line()
        if line.elementsEqual("END".utf8) { break }
        if line.elementsEqual("OK".utf8) { continue }
        if line.starts(with: "BUSY".utf8), milliseconds() < deadline {
            poll(nil, 0, busyPauseMilliseconds)
            try talk.send(Array("lru_crawler metadump all\r\n".utf8))
            continue
        }
        guard line.starts(with: "key=".utf8) else { throw .answered(line) }
        let key = percentDecoded(line[4...].prefix { $0 != UInt8(ascii: " ") })
        guard key.starts(with: listing.prefix) else { continue }
        try output.add(listing.endsInNull ? key + [0] : PrintableText.bytes(key) + [UInt8(ascii: "\n")])
        left -= 1
    }
    try output.flush()
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
