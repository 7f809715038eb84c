import Glibc

/// One answer, or one value of an answer, found in the input.
struct Answer {
    enum Kind: UInt8 {
        /// The input ends before the answer does.
        case incomplete
        case value
        /// The end of a get.
        case end
        case done
        case notFound, exists, notStored
        /// The server had no room. After a set the key's old value is gone, too.
        case refused
        case number
        /// Bytes that are no answer of the protocol.
        case unknown
    }

    var kind: Kind
    /// The length of the answer in the input.
    var consumed = 0
    var keyStart = 0
    var keyCount = 0
    var flags: UInt32 = 0
    var unique: UInt64 = 0
    var number: UInt64 = 0
    var valueStart = 0
    var valueCount = 0

    init(_ kind: Kind, consumed: Int = 0) {
        self.kind = kind
        self.consumed = consumed
    }
}

/// Reads answers of the text and meta protocols.
///
/// SAFETY of all below: `bytes` has `count` bytes, and nothing beyond is read.
@inline(__always)
func lineAnswer(_ bytes: UnsafePointer<UInt8>, _ count: Int, isMeta: Bool) -> Answer {
    guard let found = memchr(bytes, 10, count) else { return Answer(.incomplete) }
    let end = UnsafePointer<UInt8>(found.assumingMemoryBound(to: UInt8.self)) - bytes
    guard end >= 3, bytes[end - 1] == 13 else { return Answer(.unknown, consumed: end + 1) }
    if bytes[0] == UInt8(ascii: "V"), bytes[1] == UInt8(ascii: "A") {
        return bytes[2] == UInt8(ascii: "L") ? textValue(bytes, count, end) : metaValue(bytes, count, end)
    }
    return word(bytes, end)
}

/// `VALUE key flags length [unique]`.
@inline(__always)
private func textValue(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ end: Int) -> Answer {
    var answer = Answer(.value)
    var place = 6
    answer.keyStart = place
    while place < end - 1, bytes[place] != 32 { place &+= 1 }
    answer.keyCount = place - answer.keyStart
    place += 1
    answer.flags = UInt32(truncatingIfNeeded: decimal(bytes, &place, end))
    place += 1
    answer.valueCount = Int(truncatingIfNeeded: decimal(bytes, &place, end) & 0x7fff_ffff)
    if bytes[place] == 32 {
        place += 1
        answer.unique = decimal(bytes, &place, end)
    }
    guard place == end - 1 else { return Answer(.unknown, consumed: end + 1) }
    return withValue(answer, bytes, count, end)
}

/// `VA length flags...`.
@inline(__always)
private func metaValue(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ end: Int) -> Answer {
    var answer = Answer(.value)
    var place = 3
    answer.valueCount = Int(truncatingIfNeeded: decimal(bytes, &place, end) & 0x7fff_ffff)
    while place < end - 1, bytes[place] == 32 {
        let letter = bytes[place + 1]
        place += 2
        switch letter {
        case UInt8(ascii: "k"):
            answer.keyStart = place
            while place < end - 1, bytes[place] != 32 { place &+= 1 }
            answer.keyCount = place - answer.keyStart
        case UInt8(ascii: "f"): answer.flags = UInt32(truncatingIfNeeded: decimal(bytes, &place, end))
        case UInt8(ascii: "c"): answer.unique = decimal(bytes, &place, end)
        default: while place < end - 1, bytes[place] != 32 { place &+= 1 }
        }
    }
    guard place == end - 1 else { return Answer(.unknown, consumed: end + 1) }
    return withValue(answer, bytes, count, end)
}

@inline(__always)
private func withValue(_ answer: Answer, _ bytes: UnsafePointer<UInt8>, _ count: Int, _ end: Int) -> Answer {
    var answer = answer
    answer.valueStart = end + 1
    answer.consumed = end + 1 + answer.valueCount + 2
    guard count >= answer.consumed else { return Answer(.incomplete) }
    guard bytes[answer.consumed - 2] == 13, bytes[answer.consumed - 1] == 10 else {
        return Answer(.unknown, consumed: answer.consumed)
    }
    return answer
}

@inline(__always)
func decimal(_ bytes: UnsafePointer<UInt8>, _ place: inout Int, _ end: Int) -> UInt64 {
    var number: UInt64 = 0
    while place < end, bytes[place] &- 48 < 10 {
        number = number &* 10 &+ UInt64(bytes[place] &- 48)
        place &+= 1
    }
    return number
}

private func word(_ bytes: UnsafePointer<UInt8>, _ end: Int) -> Answer {
    func begins(_ text: StaticString) -> Bool {
        end - 1 >= text.utf8CodeUnitCount && memcmp(bytes, text.utf8Start, text.utf8CodeUnitCount) == 0
    }
    let consumed = end + 1
    if bytes[0] &- 48 < 10 {
        var answer = Answer(.number, consumed: consumed)
        var place = 0
        answer.number = decimal(bytes, &place, end)
        return answer
    }
    if begins("END") || begins("MN") { return Answer(.end, consumed: consumed) }
    if begins("SERVER_ERROR out of memory") { return Answer(.refused, consumed: consumed) }
    if begins("STORED") || begins("HD") || begins("DELETED") || begins("TOUCHED") || begins("OK") {
        return Answer(.done, consumed: consumed)
    }
    if begins("NOT_FOUND") || begins("NF") || begins("EN") { return Answer(.notFound, consumed: consumed) }
    if begins("NOT_STORED") || begins("NS") { return Answer(.notStored, consumed: consumed) }
    if begins("EX") { return Answer(.exists, consumed: consumed) }
    return Answer(.unknown, consumed: consumed)
}

/// Reads answers of the binary protocol.
@inline(__always)
func packetAnswer(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Answer {
    guard count >= 24 else { return Answer(.incomplete) }
    let raw = UnsafeRawPointer(bytes)
    let body = Int(UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) & 0x7fff_ffff)
    guard bytes[0] == 0x81 else { return Answer(.unknown, consumed: count) }
    guard count >= 24 + body else { return Answer(.incomplete) }
    let keyCount = Int(UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 2, as: UInt16.self)))
    let extras = Int(bytes[4])
    let status = UInt16(bigEndian: raw.loadUnaligned(fromByteOffset: 6, as: UInt16.self))
    guard keyCount + extras <= body else { return Answer(.unknown, consumed: 24 + body) }
    var answer = Answer(.done, consumed: 24 + body)
    switch status {
    case 0: break
    case 1: answer.kind = .notFound
    case 2: answer.kind = .exists
    case 5: answer.kind = .notStored
    case 0x82: answer.kind = .refused
    default: answer.kind = .unknown
    }
    guard answer.kind == .done else { return answer }
    answer.unique = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
    switch bytes[1] {
    case 0x0a: answer.kind = .end
    case 0x05:
        guard body >= 8 else { return Answer(.unknown, consumed: 24 + body) }
        answer.kind = .number
        answer.number = UInt64(bigEndian: raw.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    case 0x0d, 0x1d:
        guard extras == 4 else { return Answer(.unknown, consumed: 24 + body) }
        answer.kind = .value
        answer.flags = UInt32(bigEndian: raw.loadUnaligned(fromByteOffset: 24, as: UInt32.self))
        answer.keyStart = 24 + extras
        answer.keyCount = keyCount
        answer.valueStart = 24 + extras + keyCount
        answer.valueCount = body - extras - keyCount
    default: break
    }
    return answer
}
