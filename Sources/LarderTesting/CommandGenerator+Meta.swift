/// Meta commands of a random stream.
///
/// An old memcached (`peerIsNew` false) is spared what it would carry out otherwise than a new one, since
/// the two servers would hold different items afterwards. These are those differences, and why:
/// - `E`, `x`, `s` and `N` of `ms`, `C` of `mg`: came with 1.6.20, 1.6.27 and 1.6.40;
/// - `M` with more than its letter: an error before 1.6.40;
/// - numbers beyond 32 bits in `F`, `T`, `N`, `R`: cut off before, an error now;
/// - `q` of an `ma` that makes its item: answered until 1.6.19.
///
/// And these are spared every memcached:
/// - `k` of `mg` for a key that was ever given in base64: memcached forgets on `append`, `md x` and where
///   `N` makes an item that its key is to be told in base64, and writes its raw bytes;
/// - `t` beside a time that is past: memcached writes the difference as 32 bits without a sign;
/// - an opaque that is too long for `ma` and `mg`: memcached carries them out all the same;
/// - `T` of `ma`: where the number grows by a digit, memcached sets the time of the item that was before;
/// - `l`: seconds pass for one server before they do for the other.
extension CommandGenerator {
    mutating func meta() -> GeneratedCommand {
        switch Int.random(in: 0..<100, using: &random) {
        case 0..<30: metaGet()
        case 30..<60: metaStore()
        case 60..<75: metaDelete()
        case 75..<90: metaArithmetic()
        case 90..<93: metaDebug()
        case 93: GeneratedCommand(parts: [.bytes(Array("mn\r\n".utf8))], shape: .line)
        default: malformedMeta()
        }
    }

    // MARK: Commands

    private mutating func metaGet() -> GeneratedCommand {
        let key = metaKey()
        var flags = some(of: ["v", "s", "f", "c", "h", "u"], each: 2)
        if !key.isBinary { flags += some(of: ["k"], each: 3) }
        var isPast = false
        if random.chance(1, in: 8) { flags.append(time("T", &isPast)) }
        if random.chance(1, in: 8) { flags.append(time("N", &isPast)) }
        if random.chance(1, in: 8) { flags.append(random.pick(["R0", "R500", "R5000", "R-1"])) }
        if !isPast { flags += some(of: ["t"], each: 3) }
        let isQuiet = random.chance(1, in: 6)
        return finish("mg", key, flags, quiet: isQuiet, reads: true)
    }

    private mutating func metaStore() -> GeneratedCommand {
        let key = metaKey()
        var flags = some(of: ["c", "k", "I"], each: 4)
        var isPast = false
        if random.chance(1, in: 2) { flags.append(time("T", &isPast)) }
        if random.chance(1, in: 2) { flags.append(random.pick(["F0", "F1", "F65535", "F4294967295"])) }
        let mode = random.pick(["", "", "", "MS", "ME", "MR", "MA", "MP"])
        if !mode.isEmpty { flags.append(mode) }
        if peerIsNew, random.chance(1, in: 3) { flags += [random.pick(["s", "E5", "E0", "N1000"])] }
        // Digits put to digits would make numbers of any size.
        let extends = mode == "MA" || mode == "MP"
        let value = extends ? text() : value()
        return finish("ms", key, flags, quiet: random.chance(1, in: 6), value: value)
    }

    private mutating func metaDelete() -> GeneratedCommand {
        let key = metaKey()
        var flags = some(of: ["k"], each: 4)
        var isPast = false
        if random.chance(2, in: 3) {
            flags.append("I")
            if random.chance(1, in: 2) { flags.append(time("T", &isPast)) }
        }
        if peerIsNew, random.chance(1, in: 4) { flags += [random.pick(["x", "E5", "E0"])] }
        return finish("md", key, flags, quiet: random.chance(1, in: 6))
    }

    private mutating func metaArithmetic() -> GeneratedCommand {
        let key = metaKey()
        var flags = some(of: ["v", "c", "k"], each: 2)
        flags += some(of: [random.pick(["MI", "M+", "MD", "M-"])], each: 2)
        flags += some(of: [random.pick(["D0", "D1", "D9", "D10", "D1000", "D1000000000000000"])], each: 2)
        flags += some(of: [random.pick(["J0", "J13", "J1000000000000000"])], each: 3)
        var isPast = false
        let makes = random.chance(1, in: 3)
        if makes { flags.append(time("N", &isPast)) }
        if !isPast { flags += some(of: ["t"], each: 3) }
        let isQuiet = (peerIsNew || !makes) && random.chance(1, in: 6)
        var command = finish("ma", key, flags, quiet: isQuiet)
        command.keyCounted = key.bytes
        return command
    }

    private mutating func metaDebug() -> GeneratedCommand {
        let key = random.pick(keys)
        return GeneratedCommand(
            parts: [.bytes(line([Array("me".utf8), key]))], shape: .debugLine, keysRead: [key], key: key)
    }

    private mutating func malformedMeta() -> GeneratedCommand {
        let command = random.pick(MalformedCommand.meta)
        return GeneratedCommand(
            parts: [.bytes(Array(command.input.utf8))],
            shape: .fixed(new: Array(command.new.utf8), old: Array(command.old.utf8)))
    }

    // MARK: Words

    private struct MetaKey {
        var bytes: [UInt8]
        /// As it is sent.
        var text: [UInt8]
        var isBinary: Bool
    }

    /// Those in base64 are keys of their own: see above.
    private mutating func metaKey() -> MetaKey {
        guard random.chance(1, in: 6) else {
            let key = random.pick(keys)
            return MetaKey(bytes: key, text: key, isBinary: false)
        }
        let key = random.pick(binaryKeys)
        return MetaKey(bytes: key, text: base64(key), isBinary: true)
    }

    /// Each of the flags, once in `each` times.
    private mutating func some(of flags: [String], each: Int) -> [String] {
        flags.filter { _ in random.chance(1, in: each) }
    }

    private mutating func time(_ letter: String, _ isPast: inout Bool) -> String {
        let seconds = random.pick(["0", "1000", "1000", "2592000", "2147483647", "-1", "1000000000"])
        if seconds == "-1" || seconds == "1000000000" { isPast = true }
        return letter + seconds
    }

    /// Puts a command together: flags in any order, sometimes with a cas to compare.
    private mutating func finish(
        _ name: String, _ key: MetaKey, _ flags: [String], quiet: Bool, value: [UInt8]? = nil, reads: Bool = false
    ) -> GeneratedCommand {
        var words = flags + (quiet ? ["q"] : []) + (key.isBinary ? ["b"] : [])
        if random.chance(1, in: 6) { words.append("O" + random.pick(["", "abc", String(repeating: "o", count: 31)])) }
        if random.chance(1, in: 20) { words.append(random.pick(["Lxyz", "P"])) }
        words.shuffle(using: &random)
        let space = [UInt8(ascii: " ")]
        var head = Array(name.utf8) + space + key.text
        if let value { head += space + Array(String(value.count).utf8) }
        var parts: [GeneratedCommand.Part] = [.bytes(head)]
        let compares = name != "mg" || peerIsNew
        if compares, random.chance(1, in: 4) {
            parts.append(.bytes(Array(" C".utf8)))
            // Mostly the right number; else a low one, or that of another key.
            let fixed = random.pick(["0", "1", ""])
            if random.chance(1, in: 3), !fixed.isEmpty {
                parts.append(.bytes(Array(fixed.utf8)))
            } else {
                parts.append(.cas(of: random.chance(3, in: 4) ? key.bytes : random.pick(keys)))
            }
        }
        let end: [UInt8] = random.chance(1, in: 10) ? [0x0A] : [0x0D, 0x0A]
        var tail = words.flatMap { space + Array($0.utf8) } + end
        if let value { tail += value + [0x0D, 0x0A] }
        // What a quiet command answers ends where the next one's answer begins.
        if quiet { tail += Array("mn\r\n".utf8) }
        parts.append(.bytes(tail))
        return GeneratedCommand(
            parts: parts, shape: quiet ? .upToNoOperation : .meta, keysRead: reads ? [key.bytes] : [], key: key.bytes)
    }

    /// The text of a key, as RFC 4648 has it.
    private func base64(_ key: [UInt8]) -> [UInt8] {
        let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
        return stride(from: 0, to: key.count, by: 3).flatMap { start -> [UInt8] in
            let group = key[start..<min(start + 3, key.count)]
            let bits = (0..<3).reduce(0) { $0 << 8 | ($1 < group.count ? Int(group[start + $1]) : 0) }
            return (0..<4).map { place in
                place <= group.count ? letters[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "=")
            }
        }
    }
}
