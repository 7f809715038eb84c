import Synchronization

/// The kind of a key's values.
enum KeyKind {
    /// Values of any length, each with a header that identifies it.
    case plain
    /// As `plain`, and `append` makes them longer.
    case growable
    /// A decimal number: the upper half is the key, the lower half is the version.
    case counter

    @inline(__always)
    static func of(_ index: Int) -> KeyKind {
        switch index & 31 {
        case 7: .counter
        case 19: .growable
        default: .plain
        }
    }
}

/// The keys of one client in one cache.
///
/// SAFETY: the arrays are allocated by `init` with `count` elements and live as long as the campaign. The owner uses
/// `states`, and so does the flushing client while it holds the cache's gate. `texts` never changes. The rest is
/// atomic.
final class KeySet: @unchecked Sendable {
    static let textStride = 48

    let count: Int
    /// The number of the first key. Numbers are unique in the campaign.
    let firstKey: UInt32
    let states: UnsafeMutablePointer<KeyState>
    /// For each key: one byte for the length, then the key.
    let texts: UnsafeMutablePointer<UInt8>
    /// The lowest version that an answer to a new request may have.
    let lowest: UnsafeMutablePointer<Atomic<UInt32>>
    /// The highest version that has been sent.
    let issued: UnsafeMutablePointer<Atomic<UInt32>>

    init(count: Int, firstKey: UInt32) {
        self.count = count
        self.firstKey = firstKey
        states = .allocate(capacity: count)
        states.initialize(repeating: KeyState(), count: count)
        texts = .allocate(capacity: count * Self.textStride)
        texts.initialize(repeating: 0, count: count * Self.textStride)
        lowest = Self.atomics(count)
        issued = Self.atomics(count)
        for index in 0..<count { writeText(index) }
    }

    private static func atomics(_ count: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        let numbers = UnsafeMutablePointer<Atomic<UInt32>>.allocate(capacity: count)
        for index in 0..<count { (numbers + index).initialize(to: Atomic(0)) }
        return numbers
    }

    /// Keys of 9 to 40 bytes.
    private func writeText(_ index: Int) {
        let key = firstKey &+ UInt32(index)
        let text = texts + index * Self.textStride
        var length = 0
        func append(_ byte: UInt8) {
            length += 1
            text[length] = byte
        }
        append(UInt8(ascii: "k"))
        for shift in stride(from: 28, through: 0, by: -4) {
            append(Array("0123456789abcdef".utf8)[Int(key &>> UInt32(shift)) & 15])
        }
        for place in 0..<Int(mixed(UInt64(key)) % 32) { append(UInt8(ascii: "a") + UInt8(place % 26)) }
        text[0] = UInt8(length)
    }

    @inline(__always)
    func text(_ index: Int) -> UnsafeBufferPointer<UInt8> {
        let text = texts + index &* Self.textStride
        return UnsafeBufferPointer(start: text + 1, count: Int(text[0]))
    }

    /// A new version of the key.
    @inline(__always)
    func issue(_ index: Int, _ step: UInt32 = 1) -> UInt32 {
        let version = issued[index].load(ordering: .relaxed) &+ step
        issued[index].store(version, ordering: .releasing)
        return version
    }

    @inline(__always)
    func know(_ index: Int, _ contents: Contents) {
        states[index].know(contents)
        lowest[index].store(
            contents.isNothing ? issued[index].load(ordering: .relaxed) &+ 1 : contents.version,
            ordering: .releasing)
    }
}
