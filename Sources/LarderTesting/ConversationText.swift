import Glibc

/// Bytes with blanks: what a line of a conversation stands for.
package struct ConversationText: Sendable {
    package enum Element: Sendable, Equatable {
        case bytes([UInt8])
        /// `{number}`: digits, perhaps with a minus sign or a fraction.
        case number
        /// `{word}`: anything but spaces and line ends, at least one byte.
        case word
        /// `{rest}`: anything up to the end of the line, perhaps nothing.
        case rest
        /// `{lines}`: any number of whole lines.
        case lines
        /// `{cas name}`: digits. The first match gives the name its value; later ones must
        /// equal it, and a sent line repeats it.
        case cas(String)
        /// A cas of a binary packet: as `cas`, in eight bytes.
        case binaryCas(String)
        /// `{packets}`: any number of whole binary packets.
        case packets
        /// `{now+5}`: the server's Unix time plus this.
        case now(Int64)
        /// `{90s}`: a number of seconds that changes as the server's clock moves on.
        case seconds(Int64)
    }

    package var elements: [Element]

    package init(_ elements: [Element]) {
        self.elements = elements
    }

    /// The names of the cas blanks.
    package var casNames: Set<String> {
        var names: Set<String> = []
        for case .cas(let name) in elements { names.insert(name) }
        for case .binaryCas(let name) in elements { names.insert(name) }
        return names
    }

    /// What came in place of the blanks so far.
    package typealias Bindings = [String: [UInt8]]

    /// The bytes to send. A cas that nobody has seen yet is sent as 0.
    package func bytes(bindings: Bindings, unixTime: Int64) -> [UInt8] {
        elements.flatMap { element -> [UInt8] in
            switch element {
            case .bytes(let bytes): bytes
            case .cas(let name): bindings[name] ?? [UInt8(ascii: "0")]
            case .now(let offset): Array(String(unixTime + offset).utf8)
            case .seconds(let seconds): Array(String(seconds).utf8)
            case .binaryCas(let name):
                Self.bytes(of: bindings[name].flatMap { UInt64(String(decoding: $0, as: UTF8.self)) } ?? 0)
            case .number, .word, .rest, .lines, .packets: []
            }
        }
    }

    /// How far bytes that were received agree with a text.
    package enum Match: Sendable, Equatable {
        /// They begin with it; it ends before this index.
        case matched(end: Int)
        /// So far, so good: more bytes are needed.
        case incomplete
        case mismatch
    }

    /// The times that the server's clock may show.
    package struct Clock: Sendable {
        package let unixTime: Int64
        /// By how many seconds a `{90s}` may differ: 0 where the test moves the clock.
        package let driftSeconds: Int64

        package init(unixTime: Int64, driftSeconds: Int64 = 0) {
            self.unixTime = unixTime
            self.driftSeconds = driftSeconds
        }
    }

    /// Compares `input`, from `start` on, and notes the cas values it finds.
    package func match(
        _ input: [UInt8], from start: Int, bindings: inout Bindings, clock: Clock
    ) -> Match {
        Self.match(elements[...], input, start, &bindings, clock)
    }

    private static func match(
        _ elements: ArraySlice<Element>, _ input: [UInt8], _ start: Int, _ bindings: inout Bindings,
        _ clock: Clock
    ) -> Match {
        guard let element = elements.first else { return .matched(end: start) }
        let others = elements.dropFirst()
        var end = start
        switch element {
        case .bytes(let bytes):
            guard compare(bytes, input, &end) else { return .mismatch }
            if end - start < bytes.count { return .incomplete }
        case .now(let offset):
            let bytes = Array(String(clock.unixTime + offset).utf8)
            guard compare(bytes, input, &end) else { return .mismatch }
            if end - start < bytes.count { return .incomplete }
        case .number, .seconds:
            end = skip(input, start) { isDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }
        case .word:
            end = skip(input, start) { $0 > UInt8(ascii: " ") }
        case .rest:
            end = skip(input, start) { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }
        case .packets:
            return matchPackets(before: others, input, start, &bindings, clock)
        case .binaryCas(let name):
            guard input.count - start >= 8 else { return .incomplete }
            end = start + 8
            let number = input[start..<end].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            let digits = Array(String(number).utf8)
            if let known = bindings[name], known != digits { return .mismatch }
            bindings[name] = digits
        case .lines:
            return matchLines(before: others, input, start, &bindings, clock)
        case .cas(let name):
            end = skip(input, start, while: isDigit)
            let digits = Array(input[start..<end])
            if end < input.count, let known = bindings[name], known != digits { return .mismatch }
            if end < input.count { bindings[name] = digits }
        }
        switch element {
        case .number, .word, .cas, .seconds:
            if end == input.count { return .incomplete }
            if end == start { return .mismatch }
        case .rest:
            if end == input.count { return .incomplete }
        case .bytes, .now, .lines, .binaryCas, .packets: break
        }
        if case .seconds(let seconds) = element {
            let number = Int64(String(decoding: input[start..<end], as: UTF8.self))
            let drift = clock.driftSeconds
            guard let number, (seconds - drift...seconds + drift).contains(number) else { return .mismatch }
        }
        return match(others, input, end, &bindings, clock)
    }

    /// Tries `others` at the beginning of each line, the earliest first.
    private static func matchLines(
        before others: ArraySlice<Element>, _ input: [UInt8], _ start: Int, _ bindings: inout Bindings,
        _ clock: Clock
    ) -> Match {
        var lineStart = start
        while true {
            var attempt = bindings
            if case .matched(let end) = match(others, input, lineStart, &attempt, clock) {
                bindings = attempt
                return .matched(end: end)
            }
            guard let newline = input[lineStart...].firstIndex(of: UInt8(ascii: "\n")) else {
                return .incomplete
            }
            lineStart = newline + 1
        }
    }

    private static func bytes(of number: UInt64) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    /// Tries `others` before each packet, the earliest first; the last of all packets when there are none.
    private static func matchPackets(
        before others: ArraySlice<Element>, _ input: [UInt8], _ start: Int, _ bindings: inout Bindings,
        _ clock: Clock
    ) -> Match {
        let headerLength = 24
        var packetStart = start
        while input.count - packetStart >= headerLength {
            let length = input[packetStart + 8..<packetStart + 12].reduce(0) { $0 << 8 | Int($1) }
            // An empty packet ends a list.
            if length == 0 { return match(others, input, packetStart, &bindings, clock) }
            guard input.count - packetStart >= headerLength + length else { break }
            packetStart += headerLength + length
        }
        return .incomplete
    }

    /// Moves `end` over the part of `bytes` that `input` has; false when they differ.
    private static func compare(_ bytes: [UInt8], _ input: [UInt8], _ end: inout Int) -> Bool {
        let length = min(bytes.count, input.count - end)
        let start = end
        // Values are up to megabytes: not byte by byte.
        let isEqual = bytes.withUnsafeBytes { bytes in
            input.withUnsafeBytes { input in
                guard length > 0, let left = bytes.baseAddress, let right = input.baseAddress else {
                    return true
                }
                return memcmp(left, right + start, length) == 0
            }
        }
        guard isEqual else { return false }
        end += length
        return true
    }

    private static func skip(_ input: [UInt8], _ start: Int, while holds: (UInt8) -> Bool) -> Int {
        var end = start
        while end < input.count, holds(input[end]) { end += 1 }
        return end
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9")
    }
}

extension ConversationText: CustomStringConvertible {
    package var description: String {
        elements.map { element in
            switch element {
            case .bytes(let bytes): escaped(bytes)
            case .number: "{number}"
            case .word: "{word}"
            case .rest: "{rest}"
            case .lines: "{lines}"
            case .cas(let name): "{cas \(name)}"
            case .binaryCas(let name): "{binary cas \(name)}"
            case .packets: "{packets}"
            case .seconds(let seconds): "{\(seconds)s}"
            case .now(let offset): "{now\(offset < 0 ? "" : "+")\(offset)}"
            }
        }.joined()
    }
}

/// Bytes as they can be read: escapes as in C, and long runs shortened.
package func escaped(_ bytes: some Collection<UInt8>) -> String {
    let limit = 600
    guard bytes.count <= limit else {
        return escaped(bytes.prefix(limit / 2)) + "…(\(bytes.count) bytes)…"
            + escaped(bytes.suffix(limit / 4))
    }
    return bytes.map { byte in
        switch byte {
        case UInt8(ascii: "\r"): "\\r"
        case UInt8(ascii: "\n"): "\\n"
        case UInt8(ascii: "\t"): "\\t"
        case 0: "\\0"
        case UInt8(ascii: "\\"): "\\\\"
        case 0x20...0x7E: String(UnicodeScalar(byte))
        default: "\\x" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
    }.joined()
}
