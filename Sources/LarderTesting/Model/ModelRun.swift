import Glibc
package import LarderStore

/// One random sequence of operations on a store and its model, all of it decided by a seed.
package final class ModelRun {
    /// How big the arena is against what is put in.
    package enum Room: CaseIterable, Sendable {
        /// Everything collides: slabs of 1 or 4 KiB, some dozens of them.
        case tiny
        /// As `tiny`, but nothing may be dropped.
        case tinyKeepingAll
        /// Nothing is ever short.
        case roomy
    }

    private var random: SeededRandom
    private let room: Room
    private let stepsPerCheck: Int
    private var store: Store
    /// The file that the store lies in, if it is to be opened again and again.
    private let file: StoreTestFile?
    private var configuration: StoreConfiguration
    /// Has a closure called between two stores of the store after which a kill would leave something
    /// different; nil has nothing called. Only a debug build can.
    package var setCrashHook: ((Store, (() -> Void)?) -> Void)?
    /// What came back when the store was opened again.
    package private(set) var recoveredItems = 0
    package private(set) var imagesOpened = 0
    /// Whether the arena is handed over to another store now and then.
    private let handsOver: Bool
    /// The store that was handed over last, and its values that are still being sent.
    private var former: Former?
    /// How often the arena was handed over.
    package private(set) var handoverCount = 0
    /// In the lives of the store before this one.
    private var evictionsBefore: Int64 = 0
    /// What the store did in a run that ended well.
    package private(set) var counters: StoreCounters
    private let slabBytes: Int
    private var drivers: [StoreDriver]
    private var model: ModelStore
    private let keys: [[UInt8]]
    private var now: Int64 = 1_700_000_000_000
    private var valueSeed: UInt64 = 0
    private var pinned: [PinnedValue] = []
    private let pins: Bool
    /// Large values are written to their place in the store.
    private let lands: Bool
    /// How many of them were.
    package private(set) var incomingCount = 0
    /// Small items only, so that there are enough of them for the index to grow and overflow.
    private let manySmall: Bool

    package init(seed: UInt64, room: Room, stepsPerCheck: Int, file: StoreTestFile? = nil, handsOver: Bool = false)
        throws
    {
        var random = SeededRandom(seed: seed)
        let sessions = random.number(1...4)
        var configuration = Self.configuration(room, sessions: sessions, &random)
        configuration.filePath = file?.path
        configuration.openedAtMilliseconds = now
        configuration.isTransferable = handsOver
        self.handsOver = handsOver
        self.file = file
        self.configuration = configuration
        let store = try Store(configuration)
        drivers = try (0..<sessions).map { _ in try StoreDriver(store) }
        counters = store.statistics.counters
        self.store = store
        self.room = room
        self.stepsPerCheck = stepsPerCheck
        slabBytes = store.statistics.slabBytes
        pins = random.once(in: 3)
        lands = random.once(in: 2)
        for driver in drivers { driver.receivesInPlace = lands }
        manySmall = random.once(in: 3)
        keys = Self.keys(manySmall: manySmall, &random)
        // Runs, pins and unlucky windows: only in plenty of room does everything fit.
        model = ModelStore(mayLose: room == .tiny, mayRefuse: room != .roomy)
        self.random = random
    }

    private static func configuration(
        _ room: Room, sessions: Int, _ random: inout SeededRandom
    ) -> StoreConfiguration {
        let slabBytes = room == .roomy ? 16 << 10 : random.once(in: 2) ? 1024 : 4096
        let slabs =
            room == .roomy ? 1024 : slabBytes == 1024 ? random.number(64...80) : random.number(16...64)
        var configuration = StoreConfiguration(
            memoryBytes: slabs * slabBytes, slabBytes: slabBytes, evicts: room != .tinyKeepingAll,
            isSizeAware: random.once(in: 3),
            bucketIntervalMilliseconds: random.once(in: 4) ? 15_000 : 1000, hashSeed: random.next(),
            sessionsExpected: random.once(in: 2) ? sessions : 1)
        // Flushes that are swept at once, slowly, and only where memory is needed.
        configuration.bucketsSweptMax = [0, 1, 1024][random.number(0...2)]
        return configuration
    }

    private static func keys(manySmall: Bool, _ random: inout SeededRandom) -> [[UInt8]] {
        (0..<random.number(4...(manySmall ? 1200 : 150))).map { number in
            let isLonger = random.once(in: manySmall ? 100 : 8)
            let length = isLonger ? random.number(16...(random.once(in: 3) ? 3000 : 255)) : random.number(8...20)
            let text = Array("key-\(number)-".utf8)
            let rest = [UInt8](repeating: 0x78, count: max(0, length - text.count))
            // Long keys differ at their ends as well as at their beginnings.
            return random.once(in: 2) ? text + rest : rest + text
        }
    }

    /// What went wrong first, or nil.
    package func run(steps: Int) -> String? {
        if random.number(0...3) > 0, let failure = fill() { return "fill: \(failure)" }
        for step in 0..<steps {
            if let failure = turn() { return "step \(step): \(failure)" }
            if let torn = (pinned + (former?.pinned ?? [])).firstIndex(where: { !$0.isIntact }) {
                return "step \(step): pin \(torn) was not kept"
            }
            guard step % stepsPerCheck == stepsPerCheck - 1 || step == steps - 1 else { continue }
            if let broken = store.checkInvariants().first { return "step \(step): \(broken)" }
        }
        if room != .tiny, store.statistics.counters.evictions + evictionsBefore > 0 { return "items were evicted" }
        endFormer()
        for pin in pinned { drivers[0].session.unpin(pin.pin) }
        counters = store.statistics.counters
        incomingCount += drivers.reduce(0) { $0 + $1.incomingCount }
        return nil
    }

    /// Sets all keys, some of them more than once, so that a short sequence starts in a full store.
    private func fill() -> String? {
        let driver = drivers[0]
        return driver.turn(now) { driver in
            for key in keys.indices {
                if let failure = write(driver, .set, key) { return failure }
                if random.once(in: 4), let failure = write(driver, .set, random.number(0...key)) {
                    return failure
                }
            }
            return nil
        }
    }

    private func turn() -> String? {
        if random.once(in: 3) { advanceClock() }
        if let file, random.once(in: 8), let failure = reopen(file) { return failure }
        if handsOver, random.once(in: 4), let failure = handOver() { return failure }
        return drivers[random.number(0...drivers.count - 1)].turn(now) { driver in
            model.begin(now: now)
            for _ in 0..<random.number(1...3) {
                if let failure = operationOrKill(driver) { return failure }
            }
            return nil
        }
    }

    /// Closes the store and opens it again; or leaves it as if it had been killed, and opens what there is.
    private func reopen(_ file: StoreTestFile) -> String? {
        endFormer()
        for pin in pinned { drivers[0].session.unpin(pin.pin) }
        pinned = []
        evictionsBefore += store.statistics.counters.evictions
        let items = store.statistics.counters.items
        let isKilled = random.once(in: 2)
        do {
            if isKilled { try file.keepImage() }
            let sessions = drivers.count
            incomingCount += drivers.reduce(0) { $0 + $1.incomingCount }
            drivers = []
            // The old one has to be gone before the file is opened again.
            store = try Store(StoreConfiguration(memoryBytes: 64 << 10, slabBytes: 1024))
            if isKilled { try file.restoreImage() }
            if random.once(in: 2) { advanceClock() }
            if room != .tinyKeepingAll, random.once(in: 3) {
                let slabs = room == .tiny ? random.number(16...80) : random.number(800...1200)
                configuration.memoryBytes = max(64 << 10, slabs * slabBytes)
            }
            configuration.openedAtMilliseconds = now
            configuration.defersRecovery = true
            store = try Store(configuration)
            let report = store.recover()
            recoveredItems += report.items
            drivers = try (0..<sessions).map { _ in try StoreDriver(store) }
            for driver in drivers { driver.receivesInPlace = lands }
            if report.droppedItems > 0 { return "\(report.droppedItems) items were dropped" }
            if report.items + report.expiredItems > items { return "\(report.items) items of \(items) came back" }
            if file.names != ["store"] { return "the directory has \(file.names)" }
            return store.checkInvariants().first
        } catch {
            return "\(error)"
        }
    }

    private struct Former {
        let store: Store
        let drivers: [StoreDriver]
        let handover: StoreHandover
        let pinned: [PinnedValue]
    }

    /// Closes the store, and has another one go on with the arena, or opens it again.
    private func handOver() -> String? {
        endFormer()
        guard let closed = store.suspend(forSessions: drivers.count), let arena = store.arenaDescriptor else {
            return "the store was not closed"
        }
        guard random.number(0...3) > 0 else {
            store.resume(closed)
            return store.checkInvariants().first
        }
        do {
            configuration.arenaToTakeOver = fcntl(arena, F_DUPFD_CLOEXEC, 0)
            let next = try Store(configuration)
            configuration.arenaToTakeOver = nil
            guard let handover = next.handover(of: closed.words) else { return "the numbers were refused" }
            guard store.giveUp() else { return "the store was not given up" }
            next.takeOver(handover, now: now)
            incomingCount += drivers.reduce(0) { $0 + $1.incomingCount }
            former = Former(store: store, drivers: drivers, handover: handover, pinned: pinned)
            pinned = []
            store = next
            drivers = try drivers.map { _ in try StoreDriver(next) }
            for driver in drivers { driver.receivesInPlace = lands }
            handoverCount += 1
            return store.checkInvariants().first
        } catch {
            return "\(error)"
        }
    }

    /// The process that handed over ends.
    private func endFormer() {
        guard let former else { return }
        for pin in former.pinned { former.drivers[0].session.unpin(pin.pin) }
        store.dropForeignPins(former.handover)
        self.former = nil
    }

    private func advanceClock() {
        switch random.number(0...19) {
        case 0: now += Int64(random.number(1...40)) * 86_400_000
        case 1...3: now += Int64(random.number(1...600)) * 1000
        case 4...10: now += Int64(random.number(1...3000))
        default: now += Int64(random.number(1...100))
        }
    }

    private func expiry() -> Int64 {
        switch random.number(0...19) {
        case 0...8: Int64.max
        case 9...12: now + Int64(random.number(1...4000))
        case 13...15: now + Int64(random.number(1...3600)) * 1000
        case 16...17: now + Int64(random.number(1...720)) * 3_600_000
        case 18: now - Int64(random.number(0...2000))
        default: random.once(in: 2) ? now + (1 << 50) : Int64.max - Int64(random.number(1...2000))
        }
    }

    private func value() -> [UInt8] {
        valueSeed += 1
        let length =
            switch manySmall ? 0 : random.number(0...19) {
            case 0...11: random.number(0...100)
            case 12...16: random.number(0...slabBytes / 3)
            case 17...18: random.number(0...slabBytes)
            default: random.number(slabBytes...slabBytes * 4)
            }
        return .value(length, seed: valueSeed)
    }

    /// An operation; in the middle of which, in a file, it is as if the process were killed: what the file
    /// holds at that instant is looked at.
    private func operationOrKill(_ driver: StoreDriver) -> String? {
        guard let file, let setCrashHook, random.once(in: 3) else { return operation(driver) }
        let before = model
        var pointsLeft = random.number(0...14)
        var image: [UInt8]?
        setCrashHook(store) {
            if pointsLeft == 0 { image = try? file.bytes }
            pointsLeft -= 1
        }
        let failure = operation(driver)
        setCrashHook(store, nil)
        if let failure { return failure }
        guard let image else { return nil }
        imagesOpened += 1
        let broken = actAsAnotherThread { check(image, file, before: before) }
        return broken.map { "killed in the middle: \($0)" }
    }

    /// Every key has to be as it was before the operation, or as it was after it.
    private func check(_ image: [UInt8], _ file: StoreTestFile, before: ModelStore) -> String? {
        do {
            let other = try StoreTestFile()
            try other.replace(with: image)
            var configuration = configuration
            configuration.filePath = other.path
            configuration.openedAtMilliseconds = now
            configuration.defersRecovery = true
            let store = try Store(configuration)
            let report = store.recover()
            if let broken = store.checkInvariants().first { return broken }
            let driver = try StoreDriver(store)
            for key in keys.indices {
                let found = driver.turn(now) { $0.find(keys[key], now: now) }
                if found == nil, room == .tiny { continue }
                if found != before.live(key, now: now), found != model.live(key, now: now) {
                    return
                        "key \(key) is \(ModelStore.text(found)); before \(ModelStore.text(before.live(key, now: now)))"
                        + ", after \(ModelStore.text(model.live(key, now: now))); \(report)"
                }
            }
            return nil
        } catch {
            return "\(error)"
        }
    }

    private func operation(_ driver: StoreDriver) -> String? {
        let key = random.number(0...keys.count - 1)
        switch random.number(0...99) {
        case 0...29: return write(driver, .set, key)
        case 30...35: return write(driver, .add, key)
        case 36...40: return write(driver, .replace, key)
        case 41...45: return write(driver, .append, key)
        case 46...50: return write(driver, .prepend, key)
        case 51...57: return write(driver, .compareAndSwap, key)
        case 58...66: return delete(driver, key)
        case 67...75: return touch(driver, key)
        case 76...77: return flush(driver)
        case 78...80 where pins:
            changePins(driver, key)
            return nil
        default: return model.find(key, driver.find(keys[key], now: now, marks: random.once(in: 2)), now: now)
        }
    }

    private func write(_ driver: StoreDriver, _ mode: WriteMode, _ key: Int) -> String? {
        var cas = UInt64(0)
        if mode == .compareAndSwap {
            cas = (model.live(key, now: now)?.cas ?? 1) &+ (random.once(in: 3) ? 1 : 0)
        }
        let wanted = FoundItem(
            value: value(), clientFlags: random.once(in: 2) ? 0 : UInt32(truncatingIfNeeded: random.next()),
            expiry: expiry(), cas: cas)
        if lands, random.once(in: 10) {
            driver.landForNothing(.value(random.number(slabBytes...slabBytes * 4), seed: valueSeed), now: now)
        }
        let result = driver.store(
            mode, keys[key], wanted.value, flags: wanted.clientFlags, expiry: wanted.expiry, cas: cas,
            now: now)
        if let failure = model.store(mode, key, wanted, result, now: now) { return failure }
        guard result.outcome == .stored else { return nil }
        // What was stored by this operation is there, whatever had to go for it.
        let found = driver.find(keys[key], now: now)
        if found != model.live(key, now: now) { return "key \(key): not there right after \(mode)" }
        return nil
    }

    private func delete(_ driver: StoreDriver, _ key: Int) -> String? {
        var cas: UInt64 = 0
        if random.once(in: 2), let live = model.live(key, now: now) {
            cas = live.cas + (random.once(in: 3) ? 1 : 0)
        }
        return model.delete(key, cas: cas, driver.delete(keys[key], cas: cas, now: now), now: now)
    }

    private func touch(_ driver: StoreDriver, _ key: Int) -> String? {
        let expiry = expiry()
        let outcome = driver.touch(keys[key], expiry: expiry, now: now)
        return model.touch(key, expiry: expiry, outcome, now: now)
    }

    private func flush(_ driver: StoreDriver) -> String? {
        switch random.number(0...9) {
        case 0:
            driver.session.flush()
            model.flush()
        case 1...2:
            let time = now + Int64(random.number(0...5000))
            driver.session.flush(atMilliseconds: time)
            model.flush(at: time)
        default: break
        }
        return nil
    }

    private func changePins(_ driver: StoreDriver, _ key: Int) {
        if pinned.count > 2 {
            let pin = pinned.remove(at: random.number(0...pinned.count - 1))
            driver.session.unpin(pin.pin)
        } else if let pin = driver.pin(keys[key], now: now) {
            pinned.append(pin)
        }
    }
}
