import Glibc
import LoadGenerator
import Synchronization

/// The check of the answers.
extension Client {
    /// Checks the answers that have arrived.
    func judge(_ channel: Channel) {
        var tally = Tally()
        while channel.isBusy {
            let bytes = UnsafePointer(channel.input + channel.inputStart)
            let answer =
                dialect.isBinary
                ? packetAnswer(bytes, channel.inputCount)
                : lineAnswer(bytes, channel.inputCount, isMeta: dialect.isMeta)
            if answer.kind == .incomplete { break }
            if answer.kind == .unknown {
                tellUnknown(channel, answer)
                end(channel, until: shared.now &+ Self.lingerMilliseconds)
                break
            }
            take(channel, answer, bytes, &tally)
            channel.inputStart &+= answer.consumed
        }
        if channel.isOpen, !channel.isBusy, channel.inputCount > 0 {
            let bytes = UnsafePointer(channel.input + channel.inputStart)
            wrong(
                channel, number, 0,
                "more answers than requests: \(printable(bytes, min(channel.inputCount, 60)))")
            end(channel, until: shared.now &+ Self.lingerMilliseconds)
        }
        tally.add(to: shared.ledger)
    }

    @inline(__always)
    private func take(
        _ channel: Channel, _ answer: Answer, _ bytes: UnsafePointer<UInt8>, _ tally: inout Tally
    ) {
        let place = channel.expectedNext
        let kind = channel.expected[place].kind
        if kind == .get {
            if answer.kind == .value { return takeValue(channel, answer, bytes, &tally) }
            guard answer.kind == .end else {
                return wrong(channel, number, 0, "a get is answered by \(answer.kind)")
            }
            missUntil(channel, channel.expected[place].index + channel.expected[place].count, &tally)
            channel.expectedNext = place &+ 1
            return
        }
        if kind == .getAndTouch { return takeTouched(channel, answer, bytes, &tally) }
        channel.expectedNext = place &+ 1
        tally.changes &+= 1
        takeChange(channel, channel.expected[place], answer, bytes)
    }

    // MARK: Gets

    @inline(__always)
    private func takeValue(
        _ channel: Channel, _ answer: Answer, _ bytes: UnsafePointer<UInt8>, _ tally: inout Tally
    ) {
        let request = channel.expected[channel.expectedNext]
        let end = request.index &+ request.count
        let start = bytes + answer.keyStart
        var cursor = max(channel.askedCursor, request.index)
        let prefix = channel.encoder.prefix.count
        while cursor < end {
            let asked = channel.asked[cursor]
            let keys = shared.keys[channel.cache][Int(asked.owner)]
            let text = keys.text(Int(asked.index))
            if text.count &+ prefix == answer.keyCount,
                memcmp(keys.texts + Int(asked.index) &* KeySet.textStride + 1, start + prefix, text.count)
                    == 0
            {
                channel.askedCursor = cursor &+ 1
                tally.hits &+= 1
                hit(channel, asked, keys, answer, bytes, request.wantsUnique)
                return
            }
            missed(channel, asked, keys)
            tally.misses &+= 1
            cursor &+= 1
        }
        channel.askedCursor = end
        wrong(
            channel, number, 0,
            "a value of a key that was not asked for: \(printable(start, answer.keyCount))")
    }

    @inline(__always)
    private func missUntil(_ channel: Channel, _ end: Int, _ tally: inout Tally) {
        var cursor = max(channel.askedCursor, channel.expected[channel.expectedNext].index)
        while cursor < end {
            let asked = channel.asked[cursor]
            missed(channel, asked, shared.keys[channel.cache][Int(asked.owner)])
            tally.misses &+= 1
            cursor &+= 1
        }
        channel.askedCursor = end
    }

    @inline(__always)
    private func missed(_ channel: Channel, _ asked: Asked, _ keys: KeySet) {
        // The other client may have deleted its key since.
        guard Int(asked.owner) == number else { return }
        ownMissed(channel, keys, Int(asked.index))
    }

    private func ownMissed(_ channel: Channel, _ keys: KeySet, _ index: Int) {
        let before = keys.states[index]
        let verdict = keys.states[index].missed(
            mayEvict: shared.plans[channel.cache].mayEvict, askedAt: channel.askedAt, answeredAt: shared.now)
        if verdict == .lost { lost(channel, keys, index, before) }
        if before.isUncertain, !keys.states[index].isUncertain { keys.know(index, keys.states[index].known) }
    }

    @inline(__always)
    private func hit(
        _ channel: Channel, _ asked: Asked, _ keys: KeySet, _ answer: Answer, _ bytes: UnsafePointer<UInt8>,
        _ wantsUnique: Bool
    ) {
        let index = Int(asked.index)
        var version: UInt32 = 0
        var length: UInt32 = 0
        if let fault = read(channel, keys, index, answer, bytes, &version, &length) {
            return wrong(channel, Int(asked.owner), index, fault)
        }
        if Int(asked.owner) == number {
            let state = keys.states + index
            let wasUncertain = state.pointee.isUncertain
            let verdict = state.pointee.found(
                version: version, length: length, askedAt: channel.askedAt, answeredAt: channel.askedAt)
            if verdict != .right {
                wrong(channel, number, index, "\(verdict.rawValue): version \(version), \(length) bytes")
            } else if wantsUnique, !state.pointee.isUncertain, state.pointee.batch != channel.batch {
                state.pointee.unique = answer.unique
            }
            if wasUncertain, !state.pointee.isUncertain { keys.know(index, state.pointee.known) }
        } else if version < asked.lowest {
            wrong(
                channel, Int(asked.owner), index,
                "an older version, \(version), where \(asked.lowest) was acknowledged")
        } else if version > keys.issued[index].load(ordering: .acquiring) {
            wrong(channel, Int(asked.owner), index, "a version that was never sent: \(version)")
        }
    }

    /// Reads the version of a value. Returns a text if the value cannot be one of the key's.
    @inline(__always)
    private func read(
        _ channel: Channel, _ keys: KeySet, _ index: Int, _ answer: Answer, _ bytes: UnsafePointer<UInt8>,
        _ version: inout UInt32, _ length: inout UInt32
    ) -> String? {
        let value = UnsafeRawPointer(bytes + answer.valueStart)
        let key = keys.firstKey &+ UInt32(truncatingIfNeeded: index)
        let kind = KeyKind.of(index)
        if kind == .counter {
            var place = 0
            let start = bytes + answer.valueStart
            let counted = decimal(start, &place, answer.valueCount)
            guard place == answer.valueCount, UInt32(truncatingIfNeeded: counted &>> 32) == key,
                answer.flags == 0
            else { return "not the key's number: \(printable(start, min(answer.valueCount, 40)))" }
            version = UInt32(truncatingIfNeeded: counted)
            return nil
        }
        guard answer.valueCount >= ValueHeader.bytes else { return "\(answer.valueCount) bytes only" }
        let header = ValueHeader(at: value, seed: shared.seed)
        guard header.key == key else { return "the value of another key: \(header)" }
        guard header.isGrowable == (kind == .growable),
            header.isGrowable ? header.length == 0 : Int(header.length) == answer.valueCount
        else { return "\(answer.valueCount) bytes, but the header is \(header)" }
        guard header.matches(value, count: answer.valueCount, seed: shared.seed) else {
            return "bytes that do not match the header \(header), \(answer.valueCount) bytes"
        }
        guard answer.flags == header.flags else { return "flags \(answer.flags) of \(header)" }
        version = header.version
        length = UInt32(truncatingIfNeeded: answer.valueCount)
        return nil
    }

    // MARK: Changes

    private func takeTouched(
        _ channel: Channel, _ answer: Answer, _ bytes: UnsafePointer<UInt8>, _ tally: inout Tally
    ) {
        let request = channel.expected[channel.expectedNext]
        let keys = shared.keys[channel.cache][number]
        let hasEnd = dialect != .meta && dialect != .binary
        let isEnd = hasEnd && answer.kind == .end
        if !hasEnd || isEnd {
            channel.expectedNext &+= 1
            tally.changes &+= 1
        }
        if answer.kind == .value {
            let asked = Asked(owner: UInt32(number), index: UInt32(request.index), lowest: 0)
            hit(channel, asked, keys, answer, bytes, false)
            channel.expected[channel.expectedNext - (hasEnd ? 0 : 1)].count = 1
            confirm(channel, keys, request)
        } else if answer.kind == .notFound || isEnd {
            if request.count == 0 { ownMissed(channel, keys, request.index) }
        } else {
            wrong(channel, number, request.index, "a gat is answered by \(answer.kind)")
        }
    }

    private func takeChange(
        _ channel: Channel, _ request: Expected, _ answer: Answer, _ bytes: UnsafePointer<UInt8>
    ) {
        let keys = shared.keys[channel.cache][number]
        let index = request.index
        switch (request.kind, answer.kind) {
        case (.set, .done): confirm(channel, keys, request)
        case (.set, .refused), (.cas, .refused):
            shared.ledger.refused.add(1, ordering: .relaxed)
            // The set failed, so the old value must be gone, too.
            if request.kind == .set { keys.know(index, .nothing) } else { keys.states[index].doubtPresence() }
        case (.append, .refused), (.increment, .refused), (.touch, .refused):
            shared.ledger.refused.add(1, ordering: .relaxed)
            keys.states[index].doubtPresence()
        case (.cas, .done), (.append, .done), (.touch, .done):
            existed(channel, keys, index)
            confirm(channel, keys, request)
        case (.cas, .notFound), (.touch, .notFound), (.append, .notStored), (.increment, .notFound):
            ownMissed(channel, keys, index)
        case (.append, .notFound) where dialect == .meta: ownMissed(channel, keys, index)
        case (.delete, .done):
            existed(channel, keys, index)
            keys.know(index, .nothing)
        case (.delete, .notFound):
            ownMissed(channel, keys, index)
            keys.know(index, .nothing)
        case (.increment, .number): incremented(channel, keys, request, answer.number)
        case (.increment, .value):
            var place = 0
            incremented(channel, keys, request, decimal(bytes + answer.valueStart, &place, answer.valueCount))
        case (.flush, .done): flushed(channel)
        default: wrong(channel, number, index, "a \(request.kind) is answered by \(answer.kind)")
        }
    }

    /// The server carried out a change that needs an existing item.
    private func existed(_ channel: Channel, _ keys: KeySet, _ index: Int) {
        let known = keys.states[index].known
        if known.isNothing {
            wrong(channel, number, index, "present, but it was deleted, flushed or refused")
        } else if channel.askedAt > known.deadAfter {
            wrong(channel, number, index, "present after its expiry")
        }
    }

    private func incremented(_ channel: Channel, _ keys: KeySet, _ request: Expected, _ number: UInt64) {
        existed(channel, keys, request.index)
        let key = keys.firstKey &+ UInt32(request.index)
        guard number == UInt64(key) &<< 32 | UInt64(request.after.version) else {
            return wrong(channel, self.number, request.index, "incremented to \(number)")
        }
        confirm(channel, keys, request)
    }

    /// The change was acknowledged: from now on an older version is wrong.
    private func confirm(_ channel: Channel, _ keys: KeySet, _ request: Expected) {
        var after = request.after
        if request.kind == .set || request.kind == .cas || request.kind == .touch
            || request.kind == .getAndTouch
        {
            after.deadAfter = request.lifetime == 0 ? never : shared.now &+ (request.lifetime + 1) &* 1000
        }
        keys.know(request.index, after)
    }

    private func flushed(_ channel: Channel) {
        for keys in shared.keys[channel.cache] {
            for index in 0..<keys.count where !keys.states[index].isUncertain { keys.know(index, .nothing) }
            for index in 0..<keys.count where keys.states[index].isUncertain {
                keys.states[index].doubtPresence()
            }
        }
        channel.wantsFlush = false
        shared.gates[channel.cache].endFlush()
        shared.ledger.flushes.add(1, ordering: .relaxed)
    }

    /// Marks the keys of unanswered requests as uncertain when their connection has ended.
    func doubtUnanswered(_ channel: Channel, until: Moment) {
        let keys = shared.keys[channel.cache][number]
        for place in channel.expectedNext..<max(channel.expectedNext, channel.expectedCount) {
            let request = channel.expected[place]
            var after = request.after
            switch request.kind {
            case .get: continue
            case .flush:
                for keys in shared.keys[channel.cache] {
                    for index in 0..<keys.count { keys.states[index].doubtPresence() }
                }
                continue
            case .delete: after = .nothing
            case .append, .increment: break
            case .set, .cas, .touch, .getAndTouch:
                after.deadAfter =
                    request.lifetime == 0
                    ? never : shared.now &+ Self.lingerMilliseconds &+ (request.lifetime + 1) &* 1000
            }
            keys.states[request.index].doubt(after, until: until)
        }
    }
}

/// The counts of one pass over the input.
struct Tally {
    var hits = 0
    var misses = 0
    var changes = 0

    func add(to ledger: Ledger) {
        let all = hits + misses + changes
        guard all > 0 else { return }
        ledger.operations.add(all, ordering: .relaxed)
        ledger.hits.add(hits, ordering: .relaxed)
        ledger.misses.add(misses, ordering: .relaxed)
        ledger.changes.add(changes, ordering: .relaxed)
    }
}
