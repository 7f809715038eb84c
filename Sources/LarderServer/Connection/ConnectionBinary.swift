import Glibc
import LarderStore
import LarderWire

/// Replies in the binary protocol. Each repeats opcode and opaque of the request at hand.
extension Connection {
    /// A quiet request gets errors only.
    mutating func replyInBinary(_ reply: Reply, cas: UInt64, _ context: inout WorkerContext) {
        let tag = request.packetTag
        if request.options.isQuiet, BinaryEncoder.status(of: reply, opcode: tag.opcode) == .success { return }
        guard let out = output.room(BinaryEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(BinaryEncoder.encode(reply, tag, cas: cas, at: out))
        if context.verbosity > 1 { logAnswer(out) }
    }

    /// A found item.
    mutating func writeInBinary(
        _ item: Item, key: UnsafePointer<UInt8>, keyLength: Int, cas: UInt64, _ context: inout WorkerContext
    ) {
        let length = request.options.omitsValue ? 0 : item.valueLength
        let isCopied = length <= Output.copiedValueMax
        let needed = BinaryEncoder.valueHeaderLengthMax &+ (isCopied ? length : 0)
        guard let out = output.room(needed, &context.pool) else { return outOfReplyMemory(&context) }
        let header = BinaryEncoder.encodeValueHeader(
            request.packetTag, key: key, keyLength: request.options.wantsKey ? keyLength : 0,
            clientFlags: item.clientFlags, valueLength: length, cas: cas, at: out)
        if context.verbosity > 1 { logAnswer(out) }
        if isCopied {
            memcpy(out + header, item.value, length)
            output.didWrite(header &+ length)
        } else {
            output.didWrite(header)
            writeLargeValue(item, length, &context)
        }
    }

    /// A retrieval that found nothing, and is not quiet.
    mutating func writeMiss(key: UnsafePointer<UInt8>, keyLength: Int, _ context: inout WorkerContext) {
        guard dialect == .binary, request.options.wantsKey else { return reply(.notFound, &context) }
        guard let out = output.room(BinaryEncoder.valueHeaderLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(BinaryEncoder.encodeMiss(request.packetTag, key: key, keyLength: keyLength, at: out))
        if context.verbosity > 1 { logAnswer(out) }
    }

    mutating func writeNumberInBinary(_ number: UInt64, cas: UInt64, _ context: inout WorkerContext) {
        if request.options.isQuiet { return }
        guard let out = output.room(BinaryEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        output.didWrite(BinaryEncoder.encodeNumber(request.packetTag, number, cas: cas, at: out))
        if context.verbosity > 1 { logAnswer(out) }
    }

    /// A packet with a name and a value for each.
    mutating func writeInBinary(_ list: StatisticsList, _ context: inout WorkerContext) {
        list.visitAll { name, value in writePacket(key: name, value: value, &context) }
    }

    /// A packet of success with any key and any body.
    mutating func writePacket(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, _ context: inout WorkerContext
    ) {
        let length = key.count + value.count
        guard let out = output.room(BinaryParser.headerLength + length, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        let header = BinaryEncoder.encodeHeader(
            request.packetTag, .success, keyLength: key.count, bodyLength: length, at: out)
        if let start = key.baseAddress { memcpy(out + header, start, key.count) }
        if let start = value.baseAddress { memcpy(out + header + key.count, start, value.count) }
        output.didWrite(header + length)
        if context.verbosity > 1 { logAnswer(out) }
    }

    /// A packet of success that is a text.
    mutating func writeText(_ text: StaticString, _ context: inout WorkerContext) {
        let bytes = UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
        writePacket(key: UnsafeRawBufferPointer(start: nil, count: 0), value: bytes, &context)
    }

    /// Answers a step of an authentication with the challenge for the next step.
    mutating func writeContinuation(_ challenge: [UInt8], _ context: inout WorkerContext) {
        guard let out = output.room(BinaryParser.headerLength + challenge.count, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        let header = BinaryEncoder.encodeHeader(
            request.packetTag, .authenticationContinues, bodyLength: challenge.count, at: out)
        challenge.withUnsafeBytes { bytes in
            // SAFETY: there is room for the challenge behind the header.
            if let start = bytes.baseAddress { memcpy(out + header, start, bytes.count) }
        }
        output.didWrite(header + challenge.count)
        if context.verbosity > 1 { logAnswer(out) }
    }

    /// The beginning of a packet of success whose value is written piece by piece.
    mutating func beginPacket(key: StaticString, valueLength: Int, _ context: inout WorkerContext) {
        let keyLength = key.utf8CodeUnitCount
        guard let out = output.room(BinaryEncoder.replyLengthMax, &context.pool) else {
            return outOfReplyMemory(&context)
        }
        let header = BinaryEncoder.encodeHeader(
            request.packetTag, .success, keyLength: keyLength, bodyLength: keyLength + valueLength, at: out)
        memcpy(out + header, key.utf8Start, keyLength)
        output.didWrite(header + keyLength)
        if context.verbosity > 1 { logAnswer(out) }
    }

    /// The version, as each dialect says it.
    mutating func writeVersion(_ context: inout WorkerContext) {
        guard dialect == .binary else { return write("VERSION \(Version.memcached)\r\n", &context) }
        var text = Version.memcached
        text.withUTF8 { writePacket(key: .init(start: nil, count: 0), value: .init($0), &context) }
    }

    /// The client asked to be let go; binary clients are answered first.
    mutating func quit(_ context: inout WorkerContext) {
        if dialect == .binary { replyInBinary(.ok, cas: 0, &context) }
        phase = .closing
    }
}
