/// A packet of the binary protocol, as a conversation writes it: `get key=k opaque=7`.
///
/// The names and texts here are written down a second time on purpose: the server's own tables are
/// what they test.
struct ConversationPacket {
    private var opcode: UInt8
    private var status: UInt16 = 0
    private var extras: [UInt8] = []
    private var key: [UInt8] = []
    private var value: [UInt8]?
    private var opaque: UInt32 = 0
    private var cas: [ConversationText.Element] = [.bytes([UInt8](repeating: 0, count: 8))]
    private var magic: UInt8
    private var datatype: UInt8 = 0
    private var vbucket: UInt16 = 0
    private var keyLength: UInt16?
    private var extrasLength: UInt8?
    private var bodyLength: UInt32?

    /// Elements of the packet that `text` describes; nil: `problem` says why.
    static func elements(
        _ text: Substring, isAnswer: Bool, problem: inout String
    ) -> [ConversationText.Element]? {
        var words = text.split(separator: " ")
        guard !words.isEmpty, let opcode = opcode(words.removeFirst()) else {
            problem = "a packet begins with its opcode: a name, or 0x and two digits"
            return nil
        }
        var packet = ConversationPacket(opcode: opcode, magic: isAnswer ? 0x81 : 0x80)
        if isAnswer {
            guard let word = words.first, let status = statuses.first(where: { $0.name == word }) else {
                problem = "an answer's opcode is followed by its status"
                return nil
            }
            words.removeFirst()
            packet.status = status.code
            packet.value = Array(status.text.utf8)
        }
        for word in words {
            guard packet.set(word) else {
                problem = "no such field, or not of this form: \(word)"
                return nil
            }
        }
        return packet.elements
    }

    private init(opcode: UInt8, magic: UInt8) {
        self.opcode = opcode
        self.magic = magic
    }

    private mutating func set(_ word: Substring) -> Bool {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return false }
        let text = parts[1]
        switch parts[0] {
        case "key":
            guard let bytes = Self.bytes(text) else { return false }
            key = bytes
            if status != 0 { value = [] }
        case "value":
            guard let bytes = Self.bytes(text) else { return false }
            value = bytes
        case "cas": return setCas(text)
        default:
            guard let number = Self.number(text) else { return false }
            return set(parts[0], to: number)
        }
        return true
    }

    private mutating func set(_ name: Substring, to number: UInt64) -> Bool {
        switch name {
        case "flags", "exptime": extras += Self.bigEndian(UInt32(truncatingIfNeeded: number))
        case "delta", "initial", "number": extras += Self.bigEndian(number)
        case "byte": extras.append(UInt8(truncatingIfNeeded: number))
        case "opaque": opaque = UInt32(truncatingIfNeeded: number)
        case "magic": magic = UInt8(truncatingIfNeeded: number)
        case "datatype": datatype = UInt8(truncatingIfNeeded: number)
        case "vbucket": vbucket = UInt16(truncatingIfNeeded: number)
        case "keylen": keyLength = UInt16(truncatingIfNeeded: number)
        case "extlen": extrasLength = UInt8(truncatingIfNeeded: number)
        case "bodylen": bodyLength = UInt32(truncatingIfNeeded: number)
        default: return false
        }
        return true
    }

    private mutating func setCas(_ text: Substring) -> Bool {
        if text.hasPrefix("{"), text.hasSuffix("}") {
            cas = [.binaryCas(String(text.dropFirst().dropLast()))]
            return true
        }
        guard let number = Self.number(text) else { return false }
        cas = [.bytes(Self.bigEndian(number))]
        return true
    }

    private var elements: [ConversationText.Element] {
        // What `incr` answers stands where other packets have extras, and counts as body only.
        let isNumber = magic == 0x81 && (5...6).contains(opcode & 0x0f) && opcode < 0x17
        let extrasCount = isNumber ? 0 : extras.count
        let value = value ?? []
        var head: [UInt8] = [magic, opcode]
        head += Self.bigEndian(keyLength ?? UInt16(truncatingIfNeeded: key.count))
        head += [extrasLength ?? UInt8(truncatingIfNeeded: extrasCount), datatype]
        head += Self.bigEndian(magic == 0x81 ? status : vbucket)
        head += Self.bigEndian(bodyLength ?? UInt32(truncatingIfNeeded: extras.count + key.count + value.count))
        head += Self.bigEndian(opaque)
        return [.bytes(head)] + cas + [.bytes(extras + key + value)]
    }

    // MARK: Words

    private static func number(_ text: Substring) -> UInt64? {
        text.hasPrefix("0x") ? UInt64(text.dropFirst(2), radix: 16) : UInt64(text)
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        var scanner = ConversationTextScanner(bytes: Array(text.utf8))
        guard let elements = scanner.scan() else { return nil }
        var bytes: [UInt8] = []
        for element in elements {
            guard case .bytes(let piece) = element else { return nil }
            bytes += piece
        }
        return bytes
    }

    private static func bigEndian(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }

    private static func opcode(_ word: Substring) -> UInt8? {
        if word.hasPrefix("0x") { return UInt8(word.dropFirst(2), radix: 16) }
        return opcodes.firstIndex(of: String(word)).flatMap { UInt8(exactly: $0) }
    }

    private static let opcodes: [String?] = [
        "get", "set", "add", "replace", "delete", "incr", "decr", "quit", "flush", "getq", "noop", "version",
        "getk", "getkq", "append", "prepend", "stat", "setq", "addq", "replaceq", "deleteq", "incrq", "decrq",
        "quitq", "flushq", "appendq", "prependq", "verbosity", "touch", "gat", "gatq", nil, "sasl_list",
        "sasl_auth", "sasl_step", "gatk", "gatkq",
    ]

    private static let statuses: [(name: String, code: UInt16, text: String)] = [
        ("ok", 0, ""),
        ("not_found", 1, "Not found"),
        ("exists", 2, "Data exists for key."),
        ("too_large", 3, "Too large."),
        ("invalid", 4, "Invalid arguments"),
        ("not_stored", 5, "Not stored."),
        ("non_numeric", 6, "Non-numeric server-side value for incr or decr"),
        ("auth_error", 0x20, "Auth failure."),
        ("auth_continue", 0x21, ""),
        ("unknown", 0x81, "Unknown command"),
        ("no_memory", 0x82, "Out of memory"),
    ]
}
