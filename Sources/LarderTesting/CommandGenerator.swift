/// An endless random stream of text commands, classic and meta, valid and not, over few keys.
///
/// The same seed gives the same stream. Nothing in it depends on the time of day or on when
/// its commands are sent: whatever expires has expired already, or will not for a long time.
///
/// Numbers that are counted stay below 2^63, and no value is white space alone. memcached reads
/// numbers with `strtoull` (`safe_strtoull` in its `util.c`), past the end of the value: of a
/// larger one it looks for a minus sign up to the next NUL byte, and behind white space for
/// digits. So its answer depends on what else is in memory.
package struct CommandGenerator {
    var random: SeededRandom
    let keys: [[UInt8]]
    /// Keys that are only ever sent in base64.
    let binaryKeys: [[UInt8]]
    private let flushes: Bool
    /// The stream is for a memcached that is as new as what Larder follows.
    let peerIsNew: Bool

    /// - Parameters:
    ///   - keyPrefix: Begins every key, to keep the streams of several connections apart.
    ///   - flushes: Whether `flush_all` may appear, which concerns all keys there are.
    ///   - peerIsNew: Whether what came with memcached 1.6.40 may appear.
    package init(seed: UInt64, keyPrefix: String = "", flushes: Bool = true, peerIsNew: Bool = false) {
        random = SeededRandom(seed: seed)
        self.flushes = flushes
        let prefix = Array(keyPrefix.utf8)
        let plain = (1...30).map { prefix + Array("k\($0)".utf8) }
        let long = [249, 250].map { prefix + [UInt8](repeating: UInt8(ascii: "k"), count: $0 - prefix.count) }
        let strange: [[UInt8]] = [
            prefix + [0x01, 0x7F], prefix + [0xFF, 0xFE, 0x80], prefix + Array("ключ".utf8),
        ]
        keys = plain + long + strange
        self.peerIsNew = peerIsNew
        binaryKeys = [prefix + Array("a b".utf8), prefix + [0x0D, 0x0A], prefix + Array("binary".utf8)]
    }

    /// The next command.
    package mutating func next() -> GeneratedCommand {
        if random.chance(2, in: 5) { return meta() }
        return switch Int.random(in: 0..<1000, using: &random) {
        case 0..<260: store(random.pick(["set", "set", "set", "add", "replace", "append", "prepend"]))
        case 260..<320: compareAndSwap()
        case 320..<640: retrieve()
        case 640..<720: command("delete", random.pick(keys), [])
        case 720..<860: count()
        case 860..<919: command("touch", random.pick(keys), [exptime()])
        case 919: flushes ? flush() : retrieve()
        case 920: tooLarge()
        default: malformed()
        }
    }

    // MARK: Commands

    private mutating func store(_ name: String) -> GeneratedCommand {
        // Digits put to digits would make numbers of any size.
        let extends = name == "append" || name == "prepend"
        let (noReply, value) = (noReply(), extends ? text() : value())
        let words = [
            Array(name.utf8), random.pick(keys), flags(), exptime(), Array(String(value.count).utf8),
        ]
        let bytes = line(words + noReply) + value + [0x0D, 0x0A]
        return GeneratedCommand(parts: [.bytes(bytes)], shape: noReply.isEmpty ? .line : .silence)
    }

    private mutating func compareAndSwap() -> GeneratedCommand {
        let (key, value) = (random.pick(keys), value())
        let space = [UInt8(ascii: " ")]
        let words = [Array("cas".utf8), key, flags(), exptime(), Array(String(value.count).utf8)]
        let head = Array(words.joined(separator: space)) + space
        let noReply = noReply()
        // Mostly the right number; else that of another key.
        let casKey = random.chance(3, in: 4) ? key : random.pick(keys)
        let tail = noReply.flatMap { space + $0 } + [0x0D, 0x0A] + value + [0x0D, 0x0A]
        return GeneratedCommand(
            parts: [.bytes(head), .cas(of: casKey), .bytes(tail)], shape: noReply.isEmpty ? .line : .silence)
    }

    private mutating func retrieve() -> GeneratedCommand {
        let name = random.pick(["get", "get", "get", "gets", "gets", "gat", "gats"])
        let count = random.chance(1, in: 3) ? Int.random(in: 2...8, using: &random) : 1
        let asked = (0..<count).map { _ in random.pick(keys) }
        let words = [Array(name.utf8)] + (name.hasPrefix("gat") ? [exptime()] : []) + asked
        return GeneratedCommand(parts: [.bytes(line(words))], shape: .values, keysRead: asked)
    }

    private mutating func count() -> GeneratedCommand {
        let (key, delta) = (
            random.pick(keys), random.pick(["0", "1", "1", "9", "10", "1000", "1000000000000000"])
        )
        var command = command(random.pick(["incr", "decr"]), key, [Array(delta.utf8)])
        command.keyCounted = key
        return command
    }

    /// A line with a key, perhaps with noreply.
    private mutating func command(_ name: String, _ key: [UInt8], _ arguments: [[UInt8]]) -> GeneratedCommand {
        let noReply = noReply()
        let bytes = line([Array(name.utf8), key] + arguments + noReply)
        return GeneratedCommand(parts: [.bytes(bytes)], shape: noReply.isEmpty ? .line : .silence)
    }

    /// Never with a delay: memcached keeps one time of flushing, so a delayed one after another
    /// brings back whatever the first has not met yet.
    private mutating func flush() -> GeneratedCommand {
        let delay = random.pick([[], [Array("0".utf8)], [Array("-1".utf8)]])
        let noReply = noReply()
        let bytes = line([Array("flush_all".utf8)] + delay + noReply)
        return GeneratedCommand(parts: [.bytes(bytes)], shape: noReply.isEmpty ? .line : .silence)
    }

    private mutating func tooLarge() -> GeneratedCommand {
        let value = [UInt8](repeating: UInt8(ascii: "x"), count: 1_048_577)
        let words = [Array(random.pick(["set", "add", "append"]).utf8), random.pick(keys)]
        let bytes = line(words + ["0", "0", "1048577"].map { Array($0.utf8) }) + value + [0x0D, 0x0A]
        return GeneratedCommand(parts: [.bytes(bytes)], shape: .line)
    }

    private mutating func malformed() -> GeneratedCommand {
        let command = random.pick(MalformedCommand.all)
        return GeneratedCommand(
            parts: [.bytes(Array(command.input.utf8))],
            shape: .fixed(new: Array(command.new.utf8), old: Array(command.old.utf8)))
    }

    // MARK: Words

    /// Words on a line; sometimes with more spaces than needed, or without CR.
    mutating func line(_ words: [[UInt8]]) -> [UInt8] {
        let spaces = [UInt8](repeating: UInt8(ascii: " "), count: random.chance(1, in: 20) ? 3 : 1)
        let end: [UInt8] = random.chance(1, in: 10) ? [0x0A] : [0x0D, 0x0A]
        return Array(words.joined(separator: spaces)) + end
    }

    private mutating func noReply() -> [[UInt8]] {
        random.chance(1, in: 5) ? [Array("noreply".utf8)] : []
    }

    private mutating func flags() -> [UInt8] {
        Array(random.pick(["0", "0", "0", "1", "65535", "4294967295", "007"]).utf8)
    }

    private mutating func exptime() -> [UInt8] {
        let choices = ["0", "0", "0", "0", "0", "0", "1000", "2592000", "2147483647", "-1", "1000000000"]
        return Array(random.pick(choices).utf8)
    }

    mutating func value() -> [UInt8] {
        guard random.chance(1, in: 2) else { return text() }
        if random.chance(1, in: 8) { return Array(random.pick(["99", " 7", "7 ", "-1", "1x", "007"]).utf8) }
        let width = random.pick([1, 2, 3, 8, 18])
        return (0..<width).map { _ in UInt8.random(in: UInt8(ascii: "0")...UInt8(ascii: "9"), using: &random)
        }
    }

    /// A value that is no number.
    mutating func text() -> [UInt8] {
        switch Int.random(in: 0..<50, using: &random) {
        case 0..<5: return []
        case 5..<10: return Array("a\r\nEND\r\nVALUE k1 0 1\r\n".utf8)
        case 10..<45: return randomBytes(Int.random(in: 1...100, using: &random))
        case 45..<49: return randomBytes(Int.random(in: 100...4000, using: &random))
        default: return randomBytes(Int.random(in: 4000...60_000, using: &random))
        }
    }

    private mutating func randomBytes(_ count: Int) -> [UInt8] {
        // Whole words at a time: large values are many.
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count + 8)
        while bytes.count < count {
            withUnsafeBytes(of: random.next()) { bytes.append(contentsOf: $0) }
        }
        bytes[0] |= 0x80
        return Array(bytes[..<count])
    }
}
