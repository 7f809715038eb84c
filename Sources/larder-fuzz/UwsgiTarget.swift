import LarderWire

/// A packet of the uwsgi protocol. What it comes to must not depend on how the input is cut.
struct UwsgiTarget: Fuzzed {
    /// So that keys of all lengths fit the inputs, and some are too long.
    private static let keyLengthMax = 300

    func run(_ input: [UInt8]) {
        guard let input = ParserInput(input) else { return }
        if outcome(input.bytes, input.ends) != outcome(input.bytes, [input.bytes.count]) {
            fault("the outcome depends on where the input is cut")
        }
        if beginning(input.bytes, input.ends) != beginning(input.bytes, [input.bytes.count]) {
            fault("what the first bytes tell depends on where the input is cut")
        }
        checkDatagram(input.bytes)
        for isBitmap in [false, true] {
            if dump(input.bytes, input.ends, isBitmap) != dump(input.bytes, [input.bytes.count], isBitmap) {
                fault("the items of a dump depend on where the input is cut")
            }
        }
    }

    /// The same bytes behind the header of a small dump: digests of its items, and of its end.
    private func dump(_ bytes: [UInt8], _ ends: [Int], _ isBitmap: Bool) -> [UInt64] {
        let layout = DumpLayout(items: 3, blockBytes: 8, blocks: isBitmap ? 5 : 3, keyBytesMax: 4, isBitmap: isBitmap)
        var decoder = DumpDecoder(layout, valueLengthMax: 16, checksHashes: false)
        var found: [UInt64] = []
        let answer = DumpPacket.answer(layout)
        let pieces = [answer[...]] + zip([0] + ends, ends).map { bytes[$0..<$1] }
        for piece in pieces {
            let copy = Copy(piece)
            do throws(DumpRefusal) {
                try decoder.take(UnsafeRawBufferPointer(copy.bytes(0, copy.count))) { item in
                    var digest = Digest("item")
                    digest.add(item.key)
                    if let value = item.value { digest.add(value) }
                    for number in [item.expires, item.hits, UInt64(item.clientFlags)] { digest.add(number) }
                    found.append(digest.value)
                }
            } catch {
                return found + [Digest("\(error)").value]
            }
        }
        if found.count >= layout.items { fault("a dump has \(found.count) items") }
        return found + [Digest("\(decoder.isComplete)").value]
    }

    /// The same bytes as a datagram of another server: its offsets and lengths must lie inside of it.
    private func checkDatagram(_ bytes: [UInt8]) {
        let copy = Copy(bytes[...])
        guard let datagram = SyncDatagram(UnsafeRawBufferPointer(copy.bytes(0, copy.count))) else { return }
        _ = copy.bytes(datagram.keyStart, datagram.keyLength)
        _ = copy.bytes(datagram.valueStart, datagram.valueLength)
    }

    /// The first step that needs no more bytes, as a digest; nil when there is none.
    private func outcome(_ bytes: [UInt8], _ ends: [Int]) -> UInt64? {
        for end in ends where end > 0 {
            let copy = Copy(bytes[..<end])
            var parser = UwsgiParser()
            var request = Request()
            var cursor = 0
            let step = parser.next(
                copy.base, cursor: &cursor, end: copy.count, keyLengthMax: Self.keyLengthMax, request: &request)
            guard cursor >= 0, cursor <= copy.count else { fault("the cursor is at \(cursor) of \(copy.count)") }
            switch step {
            case .needMore: if cursor != 0 { fault("the cursor has moved") }
            case .close: return Digest("close").value
            case .reject: return digest(of: parser.rejection.reply, parser)
            case .request, .value: return digest(of: request, step, parser, copy)
            case .sets, .retrieval: fault("\(step) is no step of this parser")
            }
        }
        return nil
    }

    /// The same for a value that is there and for one that is still to come.
    private func digest(
        of request: Request, _ step: ParseStep, _ parser: UwsgiParser, _ copy: borrowing Copy
    ) -> UInt64 {
        var digest = Digest(request, in: copy)
        if request.verb == .store {
            if request.valueLength < 1 { fault("a value of \(request.valueLength) bytes") }
            if step == .request { _ = copy.bytes(request.valueStart, request.valueLength) }
            digest.add(request.valueLength)
        }
        digest.add(copy.bytes(parser.cacheStart, parser.cacheLength))
        digest.add(parser.form.rawValue)
        checkAnswer(request.valueLength, parser.form)
        return digest.value
    }

    private func digest(of reply: Reply, _ parser: UwsgiParser) -> UInt64 {
        var digest = Digest("reject")
        digest.add(reply.rawValue)
        digest.add(parser.form.rawValue)
        return digest.value
    }

    /// The address sanitizer reports an answer that is too long for its room.
    private func checkAnswer(_ valueLength: Int, _ form: UwsgiParser.Form) {
        let room = Copy(Array(repeating: 0, count: UwsgiEncoder.answerLengthMax)[...])
        for reply in [Reply.stored, .notFound, .tooLarge] { _ = UwsgiEncoder.encode(reply, form, at: room.base) }
        _ = UwsgiEncoder.encodeValueHeader(form, valueLength: valueLength, expires: Int64.max, at: room.base)
    }

    private func beginning(_ bytes: [UInt8], _ ends: [Int]) -> ForeignProtocol.Recognition? {
        for end in ends where end > 0 {
            let copy = Copy(bytes[..<end])
            let found = ForeignProtocol.recognise(copy.bytes(0, copy.count))
            if found != .needMore { return found }
        }
        return nil
    }
}
