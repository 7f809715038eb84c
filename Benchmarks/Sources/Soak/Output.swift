import Glibc

/// Bytes to send.
///
/// SAFETY: `bytes` is allocated here, has room for `room` bytes, and is freed by `end`. Callers make room first.
struct Output {
    private(set) var bytes: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var room: Int

    init() {
        room = 1 << 16
        bytes = .allocate(capacity: room)
    }

    mutating func end() { bytes.deallocate() }
    mutating func clear() { count = 0 }

    @inline(__always)
    mutating func makeRoom(_ more: Int) {
        if _slowPath(count &+ more > room) { grow(more) }
    }

    private mutating func grow(_ more: Int) {
        room = max(room * 2, count + more)
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: room)
        larger.update(from: bytes, count: count)
        bytes.deallocate()
        bytes = larger
    }

    @inline(__always)
    mutating func text(_ text: StaticString) {
        let length = text.utf8CodeUnitCount
        makeRoom(length)
        (bytes + count).update(from: text.utf8Start, count: length)
        count &+= length
    }

    @inline(__always)
    mutating func copy(_ text: UnsafeBufferPointer<UInt8>) {
        guard let start = text.baseAddress else { return }
        makeRoom(text.count)
        (bytes + count).update(from: start, count: text.count)
        count &+= text.count
    }

    @inline(__always)
    mutating func byte(_ byte: UInt8) {
        makeRoom(1)
        bytes[count] = byte
        count &+= 1
    }

    mutating func decimal(_ number: UInt64) {
        makeRoom(20)
        count += writeDecimal(number, to: bytes + count)
    }

    mutating func big<Number: FixedWidthInteger>(_ number: Number) {
        makeRoom(MemoryLayout<Number>.size)
        UnsafeMutableRawPointer(bytes + count).storeBytes(of: number.bigEndian, as: Number.self)
        count += MemoryLayout<Number>.size
    }

    /// Appends bytes `start ..< end` of the value that begins with `header`.
    mutating func value(_ header: ValueHeader, from start: Int, to end: Int, seed: UInt64) {
        makeRoom(end - start)
        header.write(to: bytes + count, from: start, to: end, seed: seed)
        count += end - start
    }
}

/// Writes the digits of `number`, and returns how many they are.
func writeDecimal(_ number: UInt64, to target: UnsafeMutablePointer<UInt8>) -> Int {
    var length = 1
    var rest = number
    while rest >= 10 {
        rest /= 10
        length += 1
    }
    rest = number
    for place in stride(from: length - 1, through: 0, by: -1) {
        target[place] = UInt8(truncatingIfNeeded: 48 + rest % 10)
        rest /= 10
    }
    return length
}
