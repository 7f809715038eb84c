package import LarderStore

/// One random sequence of operations on a limited store and a list, all of it decided by a seed.
package final class LimitedRun {
    package enum WhenFull: CaseIterable, Sendable { case refuses, purges, clears }

    private static let now: Int64 = 1_700_000_000_000
    private var random: SeededRandom
    private let store: Store
    private let drivers: [StoreDriver]
    private var model: LimitedModel
    private let keyCount: Int
    private let stepsPerCheck: Int

    package init(seed: UInt64, _ whenFull: WhenFull, isBitmap: Bool, stepsPerCheck: Int) throws {
        var random = SeededRandom(seed: seed)
        let limits = Self.limits(whenFull, isBitmap: isBitmap, &random)
        let store = try Self.store(limits, sessions: 2, seed: random.next())
        drivers = try (0..<2).map { _ in try StoreDriver(store) }
        self.store = store
        model = LimitedModel(limits)
        keyCount = random.number(2...60)
        self.stepsPerCheck = stepsPerCheck
        self.random = random
    }

    /// An arena as the server would give it, but smaller slabs, so that more happens.
    package static func store(
        _ limits: StoreLimits, sessions: Int = 1, seed: UInt64 = 1, interval: Int64 = 1000
    ) throws -> Store {
        let content = limits.isBitmap ? limits.blocksMax * limits.blockBytes : limits.itemsMax * limits.blockBytes
        let slabBytes = 4096
        let keyBytes = limits.keyBytesMax > 250 ? limits.keyBytesMax : 0
        let bytes =
            3 * (content + limits.itemsMax * (64 + keyBytes)) + 2 * limits.valueBytesMax + (4 * sessions + 40)
            * slabBytes
        var configuration = StoreConfiguration(
            memoryBytes: bytes, slabBytes: slabBytes, itemBytesMax: limits.valueBytesMax + 512, evicts: false,
            bucketIntervalMilliseconds: interval, hashSeed: seed, sessionsExpected: sessions)
        configuration.limits = limits
        configuration.bucketsSweptMax = [0, 1, 1024][Int(seed % 3)]
        return try Store(configuration)
    }

    private static func limits(_ whenFull: WhenFull, isBitmap: Bool, _ random: inout SeededRandom) -> StoreLimits {
        let items = random.number(1...30)
        let blockBytes = [1, 10, 64, 700][random.number(0...3)]
        let blocks = items + (isBitmap ? random.number(0...60) : 0)
        let all = isBitmap ? blockBytes * blocks : blockBytes
        var limits = StoreLimits(
            itemsMax: items, blockBytes: blockBytes, blocksMax: blocks, isBitmap: isBitmap,
            valueBytesMax: random.once(in: 3) ? max(1, all - 3) : all, keyBytesMax: 400)
        limits.purgesLeastRecentlyUsed = whenFull == .purges
        limits.clearsOnFull = whenFull == .clears
        return limits
    }

    /// Times that there was no room.
    package var full: Int64 { model.full }

    /// What went wrong first, or nil: every answer has to agree, and no item is lost that the list has.
    package func run(steps: Int) -> String? {
        for step in 0..<steps {
            let driver = drivers[random.number(0...1)]
            let key = random.number(0...keyCount - 1)
            let failure = driver.turn(Self.now) { self.step($0, key, step) } ?? check(step)
            if let failure { return "step \(step): \(failure)" }
        }
        return nil
    }

    private func check(_ step: Int) -> String? {
        guard step % stepsPerCheck == stepsPerCheck - 1 else { return nil }
        if let broken = store.checkInvariants().first { return broken }
        guard let use = store.statistics.limitUse else { return "no limits" }
        guard use.items == model.entries.count, Int(use.blocks) == model.blocksTaken, use.full == model.full else {
            return "\(use), and the list has \(model.entries.count) items in \(model.blocksTaken) blocks"
        }
        return nil
    }

    private func step(_ driver: StoreDriver, _ key: Int, _ step: Int) -> String? {
        let now = Self.now
        let name = [UInt8](keyOfAnyLength: key)
        switch random.number(0...19) {
        case 0...4:
            let found = driver.find(name, now: now, marks: true)?.value
            defer { model.use(key) }
            return found == model.value(key) ? nil : "get \(key)"
        case 5...6:
            // A look that is no use, as `exists`.
            return driver.find(name, now: now)?.value == model.value(key) ? nil : "look at \(key)"
        case 7:
            let outcome = driver.delete(name, now: now)
            return outcome == (model.remove(key) ? .stored : .notFound) ? nil : "delete \(key): \(outcome)"
        case 8:
            let outcome = driver.touch(name, expiry: now + 100_000_000, now: now)
            defer { model.use(key) }
            return outcome == (model.value(key) == nil ? .notFound : .stored) ? nil : "touch \(key): \(outcome)"
        case 9 where random.once(in: 10):
            driver.session.flush()
            model.clear()
            return nil
        default:
            let modes: [WriteMode] = [.set, .set, .set, .add, .replace, .append, .prepend]
            let mode = modes[random.number(0...modes.count - 1)]
            let sizeMax = random.once(in: 3) ? model.limits.valueBytesMax + 1 : model.limits.blockBytes
            let value = [UInt8].value(random.number(0...sizeMax), seed: UInt64(step))
            let outcome = driver.store(mode, name, value, now: now).outcome
            let expected = model.store(mode, key, value)
            return outcome == expected ? nil : "\(mode) \(key), \(value.count) bytes: \(outcome), not \(expected)"
        }
    }
}
