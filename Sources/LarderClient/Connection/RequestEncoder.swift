import NIOCore

/// Requests as bytes. Each meta command has an opaque of its own, counted up from `nextOpaque`.
struct RequestEncoder {
    private(set) var bytes = ByteBuffer()
    private(set) var keys: [MetaKey] = []
    private var nextOpaque: UInt64

    init(firstOpaque: UInt64, commandCount: Int) {
        nextOpaque = firstOpaque
        keys.reserveCapacity(commandCount)
    }

    mutating func get(_ key: MetaKey) {
        begin("mg ", key)
        end(" v f c")
    }

    mutating func touch(_ key: MetaKey, seconds: Int64) {
        begin("mg ", key)
        end(" T\(seconds)")
    }

    /// The value, or a stand-in that lives so long and gives one caller the right to make the value.
    mutating func lease(_ key: MetaKey, seconds: Int) {
        begin("mg ", key)
        end(" v f c N\(max(1, seconds))")
    }

    mutating func store(
        _ mode: Character, _ key: MetaKey, _ item: NewItem, seconds: Int64, cas: UInt64? = nil
    ) {
        begin("ms ", key, length: item.bytes.count)
        if seconds != 0 { bytes.writeString(" T\(seconds)") }
        if item.flags != 0 { bytes.writeString(" F\(item.flags)") }
        if let cas { bytes.writeString(" C\(cas)") }
        end(mode == "S" ? "" : " M\(mode)")
        bytes.writeBytes(item.bytes)
        bytes.writeString("\r\n")
    }

    mutating func delete(_ key: MetaKey) {
        begin("md ", key)
        end("")
    }

    mutating func add(_ delta: Int64, _ key: MetaKey, initial: UInt64?, seconds: Int64) {
        begin("ma ", key)
        bytes.writeString(" v D\(delta.magnitude)")
        if let initial { bytes.writeString(" N\(seconds) J\(initial)") }
        end(delta < 0 ? " MD" : "")
    }

    /// A command of the classic protocol, which is answered by one line.
    mutating func line(_ command: String) {
        bytes.writeString(command)
        bytes.writeString("\r\n")
    }

    private mutating func begin(_ verb: String, _ key: MetaKey, length: Int? = nil) {
        bytes.writeString(verb)
        bytes.writeString(key.wire)
        if let length { bytes.writeString(" \(length)") }
        if key.isBase64 { bytes.writeString(" b") }
        keys.append(key)
    }

    private mutating func end(_ flags: String) {
        bytes.writeString(flags)
        bytes.writeString(" k O\(nextOpaque)\r\n")
        nextOpaque &+= 1
    }
}
