import CLarderArena
import LarderTesting
import Testing

@testable import LarderStore

/// Large values that arrive in their place in the store.
@Suite struct IncomingValueTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let slabBytes = 4096

    private let store: Store
    private let driver: StoreDriver
    private let other: StoreDriver

    init() throws {
        store = try Store(
            StoreConfiguration(
                memoryBytes: 256 * Self.slabBytes, slabBytes: Self.slabBytes, hashSeed: 1, sessionsExpected: 2
            ))
        driver = try StoreDriver(store)
        other = try StoreDriver(store)
        // The first write takes memory for the index, too.
        driver.turn(Self.now) { _ = $0.set([0], [], now: Self.now) }
    }

    private func key(_ text: String) -> [UInt8] { Array(text.utf8) }

    /// Where a key's value is.
    private func place(_ key: [UInt8]) -> UnsafeRawPointer? {
        driver.turn(Self.now) { driver in
            driver.withHashed(key) {
                driver.session.find($0, now: Self.now).map { UnsafeRawPointer($0.value) }
            }
        }
    }

    private func value(of key: [UInt8]) -> [UInt8]? {
        driver.turn(Self.now) { $0.find(key, now: Self.now)?.value }
    }

    /// All is well, and no memory is kept for values that no longer arrive.
    private func expectNothingHeld() {
        #expect(store.checkInvariants().isEmpty)
        #expect(store.state.process.pointee.space.pointee.incomingSlabs == 0)
    }

    @Test(arguments: [WriteMode.set, .add, .replace, .compareAndSwap])
    func isStoredWhereItArrived(mode: WriteMode) throws {
        let key = key("key")
        var cas: UInt64 = 0
        if mode == .replace || mode == .compareAndSwap {
            cas = driver.turn(Self.now) { $0.store(.set, key, [1], now: Self.now).cas }
        }
        let value = [UInt8].value(10_000, seed: 1)
        let (incoming, result) = try driver.turn(Self.now) { driver in
            let incoming = try #require(
                driver.receive(key.count, value, flags: 7, expiry: Self.now + 5000, now: Self.now))
            #expect(store.state.process.pointee.space.pointee.incomingSlabs == 3)
            let result = driver.store(
                incoming, mode, key, valueLength: value.count, flags: 7, expiry: Self.now + 5000,
                cas: mode == .compareAndSwap ? cas : 0, now: Self.now)
            return (incoming, result)
        }
        #expect(result.outcome == .stored)
        #expect(place(key) == UnsafeRawPointer(incoming.value))
        let found = driver.turn(Self.now) { $0.find(key, now: Self.now) }
        #expect(found == FoundItem(value: value, clientFlags: 7, expiry: Self.now + 5000, cas: result.cas))
        #expect(driver.turn(Self.now + 5000) { $0.find(key, now: Self.now + 5000) } == nil)
        expectNothingHeld()
    }

    /// What turns out otherwise than foretold is copied.
    @Test(arguments: [
        (WriteMode.set, "a longer key", UInt32(0), Int64.max), (.set, "k", 9, .max),
        (.set, "k", 0, now + 1000),
        (.append, "k", 0, .max), (.prepend, "k", 0, .max),
    ])
    func isCopiedWhereItDoesNotFit(mode: WriteMode, name: String, flags: UInt32, expiry: Int64) throws {
        let key = key(name)
        driver.turn(Self.now) { _ = $0.set(key, [1, 2, 3], now: Self.now) }
        let value = [UInt8].value(10_000, seed: 2)
        let incoming = try driver.turn(Self.now) { driver in
            let incoming = try #require(driver.receive(1, value, now: Self.now))
            let result = driver.store(
                incoming, mode, key, valueLength: value.count, flags: flags, expiry: expiry, now: Self.now)
            #expect(result.outcome == .stored)
            return incoming
        }
        let wanted =
            switch mode {
            case .append: [1, 2, 3] + value
            case .prepend: value + [1, 2, 3]
            default: value
            }
        #expect(self.value(of: key) == wanted)
        #expect(place(key) != UnsafeRawPointer(incoming.value))
        expectNothingHeld()
    }

    /// A write that is refused leaves what there was, whether it is refused at once or at the end.
    @Test(arguments: [false, true])
    func aRefusedWriteGivesItBack(atTheEnd: Bool) throws {
        let key = key("key")
        func setByOther() { other.turn(Self.now) { _ = $0.set(key, [1], now: Self.now) } }
        if !atTheEnd { setByOther() }
        try driver.turn(Self.now) { driver in
            let value = [UInt8].value(10_000, seed: 3)
            let incoming = try #require(driver.receive(key.count, value, now: Self.now))
            if atTheEnd {
                store.state.process.pointee.crashHook = { [store] in
                    store.state.process.pointee.crashHook = nil
                    actAsAnotherThread(setByOther)
                }
            }
            let result = driver.store(incoming, .add, key, valueLength: value.count, now: Self.now)
            #expect(result.outcome == .notStored)
        }
        #expect(value(of: key) == [1])
        expectNothingHeld()
    }

    /// Somebody else writes the item meanwhile: the write is done again, and the value is still there for it.
    @Test func aWriteIsTriedAgain() throws {
        let key = key("key")
        driver.turn(Self.now) { _ = $0.set(key, [1], now: Self.now) }
        let value = [UInt8].value(10_000, seed: 4)
        try driver.turn(Self.now) { driver in
            let incoming = try #require(driver.receive(key.count, value, now: Self.now))
            store.state.process.pointee.crashHook = { [store, other] in
                store.state.process.pointee.crashHook = nil
                #expect(store.state.process.pointee.space.pointee.incomingSlabs == 0, "the write has begun")
                actAsAnotherThread {
                    other.turn(Self.now) { other in
                        _ = other.set(key, [2], now: Self.now)
                        // Fill the free memory.
                        for number in 0..<200 {
                            _ = other.set(self.key("\(number)"), .value(2000, seed: 5), now: Self.now)
                        }
                    }
                }
            }
            let result = driver.store(
                incoming, .compareAndSwap, key, valueLength: value.count, cas: 1, acceptsOlder: true,
                now: Self.now)
            #expect(result.outcome == .stored)
        }
        #expect(self.value(of: key) == value)
        // Or else others might have had the slabs in between.
        #expect(store.statistics.counters.slabsReclaimed == 0)
        expectNothingHeld()
    }

    /// Also between turns, and by a session that is in the middle of one.
    @Test func whatStopsArrivingIsGivenBack() throws {
        let free = store.state.process.pointee.space.pointee.freeSlabs.count
        let first = try #require(driver.turn(Self.now) { $0.receive(3, .value(10_000, seed: 6), now: Self.now) })
        #expect(store.state.process.pointee.space.pointee.freeSlabs.count == free - 3)
        driver.session.giveBack(first)
        #expect(larder_load_u64(&driver.session.slot.pointee.epoch) == SessionSlot.offline)
        try driver.turn(Self.now) { driver in
            let second = try #require(driver.receive(3, .value(10_000, seed: 6), now: Self.now))
            // The memory that is there already.
            #expect(second.value == first.value)
            driver.session.giveBack(second)
            #expect(larder_load_u64(&driver.session.slot.pointee.epoch) != SessionSlot.offline)
        }
        #expect(store.state.process.pointee.space.pointee.freeSlabs.count == free)
        expectNothingHeld()
    }

    @Test func nothingLandsThatHasNoSlabsOfItsOwnOrIsNoItem() {
        driver.turn(Self.now) { driver in
            #expect(driver.receive(3, .value(1000, seed: 7), now: Self.now) == nil)
            #expect(driver.receive(3, .value(10_000, seed: 7), expiry: Self.now, now: Self.now) == nil)
            #expect(driver.receive(3, .value(2 << 20, seed: 7), now: Self.now) == nil)
            // What follows the value would be another slab's.
            let shape = ItemShape(
                keyLength: 3, valueLength: 2 * Self.slabBytes, clientFlags: 0, expiryMilliseconds: Int64.max)
            let fitting = 4 * Self.slabBytes - shape.totalBytes(wideCas: false)
            #expect(driver.receive(3, .value(fitting - 1, seed: 7), now: Self.now) == nil)
            let incoming = driver.receive(3, .value(fitting - 2, seed: 7), now: Self.now)
            #expect(incoming != nil)
            if let incoming { driver.session.giveBack(incoming) }
        }
        expectNothingHeld()
    }

    @Test func nothingLandsInAFile() throws {
        let file = try StoreTestFile()
        let store = try Store(
            StoreConfiguration(memoryBytes: 256 * Self.slabBytes, slabBytes: Self.slabBytes, filePath: file.path))
        let driver = try StoreDriver(store)
        driver.turn(Self.now) { #expect($0.receive(3, .value(10_000, seed: 12), now: Self.now) == nil) }
    }

    /// Values that only begin to arrive keep no more than an eighth of the memory, and none that items need.
    @Test func mostOfTheMemoryStaysForOthers() throws {
        var received: [IncomingValue] = []
        try driver.turn(Self.now) { driver in
            while let incoming = driver.receive(3, .value(10_000, seed: 8), now: Self.now) {
                received.append(incoming)
            }
            #expect(received.count == 256 / 8 / 3)
            let value = [UInt8].value(10_000, seed: 9)
            try #require(driver.set(key("copied"), value, now: Self.now) == .stored)
        }
        for incoming in received { driver.session.giveBack(incoming) }
        driver.turn(Self.now) { driver in
            for number in 0..<1000 { _ = driver.set(key("\(number)"), .value(2000, seed: 10), now: Self.now) }
            #expect(driver.receive(3, .value(10_000, seed: 8), now: Self.now) == nil)
            #expect(driver.set(key("evicts"), .value(10_000, seed: 8), now: Self.now) == .stored)
        }
        expectNothingHeld()
    }

    /// A flush while a value arrives does not concern it: it is stored afterwards.
    @Test func aFlushMeanwhileIsEarlier() throws {
        let key = key("key")
        let value = [UInt8].value(10_000, seed: 11)
        try driver.turn(Self.now) { driver in
            let incoming = try #require(driver.receive(key.count, value, now: Self.now))
            driver.session.flush()
            #expect(
                driver.store(incoming, .set, key, valueLength: value.count, now: Self.now).outcome == .stored)
        }
        #expect(self.value(of: key) == value)
        expectNothingHeld()
    }
}
