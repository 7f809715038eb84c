import LoadGenerator
import Synchronization

/// The requests that a client sends.
extension Client {
    private static let bytesMax = 1 << 20

    /// Begins a batch, unless another client is about to flush the cache.
    func startBatch(on channel: Channel) {
        let plan = shared.plans[channel.cache]
        let gate = shared.gates[channel.cache]
        let keys = shared.keys[channel.cache][number]
        if channel.wantsFlush { return flushIfAlone(channel) }
        let isChecking = channel.recheckNext < keys.count
        guard gate.enter() else { return }
        channel.isInside = true
        batchNumber &+= 1
        channel.beginBatch(batchNumber, at: shared.now)
        if isChecking {
            addChecks(channel, keys)
        } else if random.next(below: 100) < plan.writing(by: number) {
            addChanges(channel, plan, keys)
        } else {
            for _ in 0...random.next(below: 3) where channel.output.count < Self.bytesMax {
                addGet(channel, plan, keys)
            }
        }
        // The batch may be empty: no picked key could be changed now.
        if !channel.isBusy { leave(channel) }
    }

    private func flushIfAlone(_ channel: Channel) {
        guard shared.gates[channel.cache].isEmpty else { return }
        batchNumber &+= 1
        channel.beginBatch(batchNumber, at: shared.now)
        channel.encoder.flush(&channel.output)
        channel.expect(Expected(kind: .flush))
    }

    // MARK: Gets

    /// All keys in turn, 100 at a time.
    private func addChecks(_ channel: Channel, _ keys: KeySet) {
        for _ in 0..<4 where channel.recheckNext < keys.count {
            let end = min(channel.recheckNext + 100, keys.count)
            beginGet(channel, wantsUnique: false)
            for index in channel.recheckNext..<end { ask(channel, keys, owner: number, index) }
            endGet(channel)
            shared.ledger.rechecked.add(end - channel.recheckNext, ordering: .relaxed)
            channel.recheckNext = end
        }
    }

    /// A get of 16 to 100 keys, or of fewer keys if the values are large. Most gets ask for the client's own keys.
    @inline(__always)
    private func addGet(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet) {
        let word = random.next()
        var count = 16 + Int(word & 0xff) % 85
        switch plan.sizes {
        case .small: break
        case .fourKB: count = 16
        case .mixed, .large: count = 1 + count / 8
        }
        let isForeign = word &>> 8 & 7 < plan.foreignReads
        var owner = isForeign ? Int(random.next(below: UInt64(shared.lastAnswer.count))) : number
        if plan.hasRoles { owner &= ~1 }
        let asked = shared.keys[channel.cache][owner]
        let wantsUnique = owner == number && word &>> 11 & 7 == 0
        beginGet(channel, wantsUnique: wantsUnique)
        for _ in 0..<count {
            ask(channel, asked, owner: owner, pick(plan, asked, oneIn: 2))
        }
        endGet(channel)
    }

    /// Picks a key. In a cache of mostly short-lived keys, one pick in `turns` is of any key, and the others are of
    /// long-lived keys.
    @inline(__always)
    private func pick(_ plan: CachePlan, _ keys: KeySet, oneIn turns: UInt64) -> Int {
        let word = random.next()
        let index = Int((word &>> 8).multipliedFullWidth(by: UInt64(keys.count) &<< 8).high)
        guard plan.isMostlyDead, word & (turns - 1) != 0 else { return min(index, keys.count - 1) }
        let living = 1000 - plan.shortLived
        return min(index / 1000 * 1000 + index % 1000 % living, keys.count - 1)
    }

    private func beginGet(_ channel: Channel, wantsUnique: Bool) {
        var request = Expected(kind: .get, index: channel.askedCount)
        request.wantsUnique = wantsUnique
        channel.expect(request)
        channel.encoder.beginGet(&channel.output, wantsUnique: wantsUnique)
    }

    @inline(__always)
    private func ask(_ channel: Channel, _ keys: KeySet, owner: Int, _ index: Int) {
        let lowest = owner == number ? 0 : keys.lowest[index].load(ordering: .acquiring)
        channel.asked[channel.askedCount] = Asked(
            owner: UInt32(truncatingIfNeeded: owner), index: UInt32(truncatingIfNeeded: index), lowest: lowest
        )
        channel.askedCount &+= 1
        let wantsUnique = channel.expected[channel.expectedCount - 1].wantsUnique
        channel.encoder.get(&channel.output, keys.text(index), wantsUnique: wantsUnique)
    }

    private func endGet(_ channel: Channel) {
        channel.encoder.endGet(&channel.output)
        let last = channel.expectedCount - 1
        channel.expected[last].count = channel.askedCount - channel.expected[last].index
    }

    // MARK: Changes

    private func addChanges(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet) {
        for turn in 0..<plan.writesEach where channel.output.count < Self.bytesMax {
            let index = pick(plan, keys, oneIn: 8)
            // A key changes at most once in a batch, so at most two contents are possible for it.
            guard keys.states[index].batch != channel.batch, !keys.states[index].isUncertain else { continue }
            keys.states[index].batch = channel.batch
            switch KeyKind.of(index) {
            case .plain: changePlain(channel, plan, keys, index)
            case .growable: changeGrowable(channel, plan, keys, index)
            case .counter: changeCounter(channel, plan, keys, index)
            }
            if turn & 7 == 7, !plan.hasRoles || turn == 15 { addGet(channel, plan, keys) }
        }
    }

    private func changePlain(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet, _ index: Int) {
        let dice = random.next() & 31
        let state = keys.states[index]
        switch dice {
        case 0, 1:
            channel.expect(Expected(kind: .delete, index: index))
            channel.encoder.delete(&channel.output, keys.text(index))
        case 2, 3: addTouch(channel, keys, index, isGet: dice == 3)
        case 4..<12 where state.unique != 0: addSet(channel, plan, keys, index, unique: state.unique)
        default: addSet(channel, plan, keys, index, unique: 0)
        }
    }

    private func addTouch(_ channel: Channel, _ keys: KeySet, _ index: Int, isGet: Bool) {
        var request = Expected(kind: isGet ? .getAndTouch : .touch, index: index)
        request.lifetime = random.next() & 1 == 0 ? 0 : 2 + UInt32(random.next(below: 6))
        request.after = keys.states[index].known
        request.after.liveUntil = liveUntil(channel, request.lifetime)
        if isGet {
            channel.encoder.getAndTouch(&channel.output, keys.text(index), request.lifetime)
        } else {
            channel.encoder.touch(&channel.output, keys.text(index), request.lifetime)
        }
        channel.expect(request)
    }

    /// One second less than the lifetime: a server that was held up counts the lifetime from before the request.
    private func liveUntil(_ channel: Channel, _ lifetime: UInt32) -> Moment {
        lifetime == 0 ? never : channel.askedAt &+ (lifetime - 1) &* 1000
    }

    private func lifetime(_ plan: CachePlan, _ index: Int) -> UInt32 {
        let word = random.next()
        if plan.isShortLived(index) {
            return plan.isMostlyDead ? 1 : 1 + UInt32(truncatingIfNeeded: word & 3) / 3 * 2
        }
        return word % 10 == 0 ? 2 + UInt32(truncatingIfNeeded: word &>> 8 & 7) : 0
    }

    private func addSet(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet, _ index: Int, unique: UInt64) {
        let isGrowable = KeyKind.of(index) == .growable
        let most = isGrowable ? 2000 : Int.max
        let length =
            min(plan.length(random.next(), isShortLived: plan.isShortLived(index)), most)
            & (isGrowable ? ~7 : ~0)
        let header = ValueHeader(
            key: keys.firstKey &+ UInt32(index), version: keys.issue(index), length: isGrowable ? 0 : length,
            isGrowable: isGrowable)
        var request = Expected(kind: unique == 0 ? .set : .cas, index: index)
        request.lifetime = lifetime(plan, index)
        request.after = Contents(
            version: header.version, length: UInt32(length), liveUntil: liveUntil(channel, request.lifetime))
        channel.expect(request)
        channel.encoder.store(
            &channel.output, request.kind, keys.text(index), flags: header.flags, lifetime: request.lifetime,
            length: length, unique: unique)
        channel.output.value(header, from: 0, to: length, seed: shared.seed)
        channel.encoder.endValue(&channel.output)
    }

    private func changeGrowable(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet, _ index: Int) {
        let known = keys.states[index].known
        guard !known.isNothing, known.length < 4000, known.length & 7 == 0 else {
            return addSet(channel, plan, keys, index, unique: 0)
        }
        let more = 8 + Int(random.next(below: 12)) * 8
        var request = Expected(kind: .append, index: index)
        request.after = known
        request.after.length += UInt32(more)
        channel.expect(request)
        channel.encoder.store(
            &channel.output, .append, keys.text(index), flags: 0, lifetime: 0, length: more, unique: 0)
        let header = ValueHeader(
            key: keys.firstKey &+ UInt32(index), version: known.version, length: 0, isGrowable: true)
        let start = Int(known.length)
        channel.output.value(header, from: start, to: start + more, seed: shared.seed)
        channel.encoder.endValue(&channel.output)
    }

    private func changeCounter(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet, _ index: Int) {
        let known = keys.states[index].known
        if known.isNothing || random.next() & 15 == 0 { return addCounter(channel, plan, keys, index) }
        let step = 1 + UInt32(random.next(below: 100))
        var request = Expected(kind: .increment, index: index)
        request.after = known
        request.after.version = known.version &+ step
        // A refused or lost set may have used versions in between.
        let issued = keys.issued[index].load(ordering: .relaxed)
        if request.after.version > issued {
            keys.issued[index].store(request.after.version, ordering: .releasing)
        }
        channel.expect(request)
        channel.encoder.increment(&channel.output, keys.text(index), step)
    }

    private func addCounter(_ channel: Channel, _ plan: CachePlan, _ keys: KeySet, _ index: Int) {
        let version = keys.issue(index)
        var request = Expected(kind: .set, index: index)
        request.lifetime = lifetime(plan, index)
        let number = UInt64(keys.firstKey &+ UInt32(index)) &<< 32 | UInt64(version)
        request.after = Contents(
            version: version, length: 0, liveUntil: liveUntil(channel, request.lifetime))
        channel.expect(request)
        var digits = Output()
        defer { digits.end() }
        digits.decimal(number)
        channel.encoder.store(
            &channel.output, .set, keys.text(index), flags: 0, lifetime: request.lifetime,
            length: digits.count,
            unique: 0)
        channel.output.copy(UnsafeBufferPointer(start: digits.bytes, count: digits.count))
        channel.encoder.endValue(&channel.output)
    }
}
