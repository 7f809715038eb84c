/// Writes requests in one dialect.
struct Encoder {
    let dialect: Dialect
    /// The prefix of each key: `NAME/` where the main port routes by keys.
    let prefix: [UInt8]
    let seed: UInt64

    /// Writes the keys of a get, and its end.
    @inline(__always)
    func beginGet(_ output: inout Output, wantsUnique: Bool) {
        if dialect != .meta && dialect != .binary { output.text(wantsUnique ? "gets" : "get") }
    }

    @inline(__always)
    func get(_ output: inout Output, _ key: UnsafeBufferPointer<UInt8>, wantsUnique: Bool) {
        switch dialect {
        case .meta:
            output.text("mg ")
            output.copy(key)
            output.text(wantsUnique ? " k f c q v\r\n" : " k f q v\r\n")
        case .binary:
            packet(&output, 0x0d, key, extras: 0, value: 0)
        default:
            output.byte(UInt8(ascii: " "))
            self.key(&output, key)
        }
    }

    @inline(__always)
    func endGet(_ output: inout Output) {
        switch dialect {
        case .meta: output.text("mn\r\n")
        case .binary: packet(&output, 0x0a, UnsafeBufferPointer(start: nil, count: 0), extras: 0, value: 0)
        default: output.text("\r\n")
        }
    }

    @inline(__always)
    private func key(_ output: inout Output, _ key: UnsafeBufferPointer<UInt8>) {
        if _slowPath(!prefix.isEmpty) { prefix.withUnsafeBufferPointer { output.copy($0) } }
        output.copy(key)
    }

    /// The head of a set, a cas (`unique` other than 0) or an append; the value and `endValue` follow.
    func store(
        _ output: inout Output, _ kind: Expected.Kind, _ key: UnsafeBufferPointer<UInt8>, flags: UInt32,
        lifetime: UInt32, length: Int, unique: UInt64
    ) {
        switch dialect {
        case .binary:
            let isAppend = kind == .append
            packet(
                &output, isAppend ? 0x0e : 0x01, key, extras: isAppend ? 0 : 8, value: length, unique: unique
            ) {
                $0.big(flags)
                $0.big(lifetime)
            }
        case .meta:
            output.text("ms ")
            output.copy(key)
            output.byte(UInt8(ascii: " "))
            output.decimal(UInt64(length))
            if kind == .append { return output.text(" MA\r\n") }
            field(&output, " F", UInt64(flags))
            if lifetime > 0 { field(&output, " T", UInt64(lifetime)) }
            if unique > 0 { field(&output, " C", unique) }
            output.text("\r\n")
        default:
            output.text(kind == .append ? "append " : kind == .cas ? "cas " : "set ")
            self.key(&output, key)
            field(&output, " ", UInt64(flags))
            field(&output, " ", UInt64(lifetime))
            field(&output, " ", UInt64(length))
            if kind == .cas { field(&output, " ", unique) }
            output.text("\r\n")
        }
    }

    func endValue(_ output: inout Output) {
        if dialect != .binary { output.text("\r\n") }
    }

    func delete(_ output: inout Output, _ key: UnsafeBufferPointer<UInt8>) {
        switch dialect {
        case .binary: packet(&output, 0x04, key, extras: 0, value: 0)
        case .meta: line(&output, "md ", key)
        default: line(&output, "delete ", key)
        }
    }

    func touch(_ output: inout Output, _ key: UnsafeBufferPointer<UInt8>, _ lifetime: UInt32) {
        switch dialect {
        case .binary: packet(&output, 0x1c, key, extras: 4, value: 0) { $0.big(lifetime) }
        case .meta: line(&output, "mg ", key, " T", UInt64(lifetime))
        default: line(&output, "touch ", key, " ", UInt64(lifetime))
        }
    }

    func getAndTouch(_ output: inout Output, _ key: UnsafeBufferPointer<UInt8>, _ lifetime: UInt32) {
        switch dialect {
        case .binary: packet(&output, 0x1d, key, extras: 4, value: 0) { $0.big(lifetime) }
        case .meta: line(&output, "mg ", key, " k f v T", UInt64(lifetime))
        default:
            field(&output, "gat ", UInt64(lifetime))
            line(&output, " ", key)
        }
    }

    func increment(_ output: inout Output, _ key: UnsafeBufferPointer<UInt8>, _ step: UInt32) {
        switch dialect {
        case .binary:
            packet(&output, 0x05, key, extras: 20, value: 0) {
                $0.big(UInt64(step))
                $0.big(UInt64(0))
                // An increment must not create an item.
                $0.big(UInt32.max)
            }
        case .meta: line(&output, "ma ", key, " v D", UInt64(step))
        default: line(&output, "incr ", key, " ", UInt64(step))
        }
    }

    func flush(_ output: inout Output) {
        if dialect == .binary {
            packet(&output, 0x08, UnsafeBufferPointer(start: nil, count: 0), extras: 0, value: 0)
        } else {
            output.text("flush_all\r\n")
        }
    }

    // MARK: Parts

    private func field(_ output: inout Output, _ name: StaticString, _ number: UInt64) {
        output.text(name)
        output.decimal(number)
    }

    private func line(
        _ output: inout Output, _ command: StaticString, _ key: UnsafeBufferPointer<UInt8>,
        _ name: StaticString = "", _ number: UInt64? = nil
    ) {
        output.text(command)
        self.key(&output, key)
        if let number { field(&output, name, number) }
        output.text("\r\n")
    }

    @inline(__always)
    private func packet(
        _ output: inout Output, _ opcode: UInt8, _ key: UnsafeBufferPointer<UInt8>, extras: Int, value: Int,
        unique: UInt64 = 0, _ writeExtras: (inout Output) -> Void = { _ in }
    ) {
        output.makeRoom(24 + key.count + extras)
        output.byte(0x80)
        output.byte(opcode)
        output.big(UInt16(truncatingIfNeeded: key.count))
        output.byte(UInt8(truncatingIfNeeded: extras))
        output.byte(0)
        output.big(UInt16(0))
        output.big(UInt32(truncatingIfNeeded: key.count + extras + value))
        output.big(UInt32(0))
        output.big(unique)
        if extras > 0 { writeExtras(&output) }
        output.copy(key)
    }
}
