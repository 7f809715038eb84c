import NIOCore

/// Requests as the meta protocol's lines, and the data behind them.
struct MetaRequestEncoder: RequestEncoder {
    private(set) var bytes = ByteBuffer()
    private(set) var expected: [ExpectedAnswer] = []
    private var nextOpaque: UInt64
    /// What asks for the key of the command that is being written.
    private var echo = ""

    init(firstOpaque: UInt64, commandCount: Int) {
        nextOpaque = firstOpaque
        expected.reserveCapacity(commandCount)
    }

    mutating func get(_ key: String) throws(MemcacheError) {
        try begin("mg ", key)
        end(" v f c")
    }

    mutating func getWithTimeLeft(_ key: String) throws(MemcacheError) {
        try begin("mg ", key)
        end(" v f c t")
    }

    mutating func timeLeft(_ key: String) throws(MemcacheError) {
        try begin("mg ", key)
        end(" f c t s")
    }

    mutating func timeLeft(_ key: String, until end: Int64) throws(MemcacheError) {
        try begin("mg ", key)
        self.end(" t N\(end)")
    }

    mutating func touch(_ key: String, seconds: Int64) throws(MemcacheError) {
        try begin("mg ", key)
        end(" T\(Self.exptime(seconds))")
    }

    mutating func lease(_ key: String, seconds: Int) throws(MemcacheError) {
        try begin("mg ", key)
        end(" v f c N\(seconds)")
    }

    mutating func store(
        _ mode: StoreMode, _ item: NewItem, seconds: Int64, cas: UInt64?
    ) throws(MemcacheError) {
        try WireKey.checkRoom(for: item.bytes.count, after: bytes)
        try begin("ms ", item.key, length: item.bytes.count)
        if seconds != 0 { bytes.writeString(" T\(Self.exptime(seconds))") }
        if item.flags != 0 { bytes.writeString(" F\(item.flags)") }
        if let cas { bytes.writeString(" C\(cas)") }
        switch mode {
        case .set: end("")
        case .add: end(" ME")
        case .replace: end(" MR")
        }
        bytes.writeBytes(item.bytes)
        bytes.writeString("\r\n")
    }

    mutating func extend(_ end: ValueEnd, _ item: NewItem) throws(MemcacheError) {
        try meta(.set(item.key, item.bytes, end == .back ? "MA" : "MP"))
    }

    mutating func meta(_ command: MetaCommand) throws(MemcacheError) {
        try command.check()
        let hasData = command.verb == .set
        if hasData { try WireKey.checkRoom(for: command.bytes.count, after: bytes) }
        try begin(command.verb.rawValue + " ", command.key, length: hasData ? command.bytes.count : nil)
        for flag in command.flags { bytes.writeString(" " + flag) }
        end("")
        guard hasData else { return }
        bytes.writeBytes(command.bytes)
        bytes.writeString("\r\n")
    }

    mutating func delete(_ key: String) throws(MemcacheError) {
        try begin("md ", key)
        end("")
    }

    mutating func add(
        _ delta: Int64, to key: String, initial: UInt64?, seconds: Int64
    ) throws(MemcacheError) {
        try begin("ma ", key)
        bytes.writeString(" v D\(delta.magnitude)")
        if let initial { bytes.writeString(" N\(Self.exptime(seconds)) J\(initial)") }
        end(delta < 0 ? " MD" : "")
    }

    mutating func flushAll() { line("flush_all") }

    mutating func ping() { line("mn") }

    mutating func clusterConfiguration() { line("config get cluster") }

    /// The number that stands for a time. There are 31 bits for it: what ends after January 2038 does not end.
    private static func exptime(_ seconds: Int64) -> Int64 { seconds > Int32.max ? 0 : seconds }

    /// A command of the classic protocol, which is answered by one line.
    private mutating func line(_ command: String) {
        bytes.writeString(command)
        bytes.writeString("\r\n")
        expected.append(ExpectedAnswer())
    }

    private mutating func begin(_ verb: String, _ key: String, length: Int? = nil) throws(MemcacheError) {
        let key = try MetaKey(key)
        bytes.writeString(verb)
        bytes.writeString(key.wire)
        if let length { bytes.writeString(" \(length)") }
        if key.isBase64 { bytes.writeString(" b") }
        // Servers say a key again as it was when its item was stored: from the binary protocol with its spaces and line
        // ends, which nobody could read. The opaque has to do.
        echo = key.isBase64 ? "" : " k"
        expected.append(
            ExpectedAnswer(opaque: nextOpaque, key: key.wire, isLostAfterError: length != nil))
    }

    private mutating func end(_ flags: String) {
        bytes.writeString(flags)
        bytes.writeString(echo)
        bytes.writeString(" O\(nextOpaque)\r\n")
        nextOpaque &+= 1
    }
}
