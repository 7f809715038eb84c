import Glibc
import LarderStore
import LarderWire

/// Replies that carry data.
extension Connection {
    /// `VALUE`, the value, and its line end.
    @inline(__always)
    mutating func writeValue(
        _ item: Item, key: UnsafePointer<UInt8>, keyLength: Int, cas: UInt64?, _ context: inout WorkerContext
    ) {
        if case .binary = dialect {
            return writeInBinary(item, key: key, keyLength: keyLength, cas: cas ?? 0, &context)
        }
        let length = item.valueLength
        let isCopied = length <= Output.copiedValueMax
        let needed = TextEncoder.valueHeaderLengthMax &+ (isCopied ? length : 0) &+ 2
        guard let out = output.room(needed, &context.pool) else { return outOfReplyMemory(&context) }
        let header = TextEncoder.encodeValueHeader(
            key: key, keyLength: keyLength, clientFlags: item.clientFlags, valueLength: length, cas: cas, at: out)
        if isCopied {
            memcpy(out + header, item.value, length)
            out[header &+ length] = UInt8(ascii: "\r")
            out[header &+ length &+ 1] = UInt8(ascii: "\n")
            output.didWrite(header &+ length &+ 2)
        } else {
            output.didWrite(header)
            writeLargeValue(item, length, &context)
            endLargeValue(&context)
        }
    }

    /// A value that stays where it is until it is sent.
    mutating func writeLargeValue(_ item: Item, _ length: Int, _ context: inout WorkerContext) {
        let bytes = UnsafePointer(item.value.assumingMemoryBound(to: UInt8.self))
        guard output.makeRoomForSegment() else { return outOfReplyMemory(&context) }
        if let pin = context.session.pin(item) {
            output.append(segment: bytes, count: length, pin: pin)
        } else if output.isFull(with: length), let pin = context.session.pin(item, isBrief: true) {
            output.append(segment: bytes, count: length, pin: pin, isBrief: true)
            context.hasPinnedBriefly = true
        } else if let copy = malloc(length) {
            // Clients who do not read must not keep the store from making room.
            memcpy(copy, bytes, length)
            let copied = UnsafePointer(copy.assumingMemoryBound(to: UInt8.self))
            output.append(segment: copied, count: length, pin: nil, owned: copy)
        } else {
            return outOfReplyMemory(&context)
        }
    }

    mutating func endLargeValue(_ context: inout WorkerContext) {
        guard let end = output.room(2, &context.pool) else { return outOfReplyMemory(&context) }
        end[0] = UInt8(ascii: "\r")
        end[1] = UInt8(ascii: "\n")
        output.didWrite(2)
    }

    mutating func writeNumber(_ number: UInt64, cas: UInt64, _ context: inout WorkerContext) {
        if dialect == .binary { return writeNumberInBinary(number, cas: cas, &context) }
        guard let out = output.room(TextEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(TextEncoder.encodeNumber(number, at: out))
    }

    /// Text that is not on any hot path.
    mutating func write(_ text: String, _ context: inout WorkerContext) {
        var text = text
        text.withUTF8 { write($0, &context) }
    }

    mutating func write(_ bytes: UnsafeBufferPointer<UInt8>, _ context: inout WorkerContext) {
        guard let start = bytes.baseAddress, bytes.count > 0 else { return }
        guard let out = output.room(bytes.count, &context.pool) else { return outOfReplyMemory(&context) }
        memcpy(out, start, bytes.count)
        output.didWrite(bytes.count)
    }

    // MARK: Statistics

    /// Names and values, without the end of the list.
    mutating func write(_ list: StatisticsList, _ context: inout WorkerContext) {
        if dialect == .binary { return writeInBinary(list, &context) }
        list.visitAll { name, value in
            let length = TextEncoder.statisticOverhead + name.count + value.count
            guard let out = output.room(length, &context.pool) else { return outOfReplyMemory(&context) }
            output.didWrite(TextEncoder.encodeStatistic(name: name, value: value, at: out))
        }
    }

    mutating func writeEndOfStatistics(_ context: inout WorkerContext) {
        if dialect == .binary { return replyInBinary(.ok, cas: 0, &context) }
        guard let out = output.room(TextEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(TextEncoder.encodeEnd(at: out))
    }
}
