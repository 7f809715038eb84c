import LarderTesting
import Testing

@testable import LarderStore

/// The changes that a session of a limited store notes.
@Suite struct ChangeLogTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let later = now + 60_000

    private func driver(itemsMax: Int = 10) throws -> StoreDriver {
        let limits = StoreLimits(
            itemsMax: itemsMax, blockBytes: 64, blocksMax: 4 * itemsMax, isBitmap: true, valueBytesMax: 200)
        let driver = try StoreDriver(LimitedRun.store(limits, seed: 1))
        driver.session.recordChanges()
        return driver
    }

    /// The keys that `body` changes, in their order.
    private func changes(_ driver: StoreDriver, _ body: (StoreDriver) -> Void) -> [String] {
        driver.turn(Self.now) { driver in
            body(driver)
            var bytes: [UInt8] = []
            let dropped = driver.session.takeChanges(into: &bytes)
            #expect(dropped == 0)
            var keys: [String] = []
            while bytes.count >= 2 {
                let length = Int(bytes[0]) | Int(bytes[1]) << 8
                keys.append(String(decoding: bytes[2..<length + 2], as: UTF8.self))
                bytes.removeFirst(length + 2)
            }
            let hasMore = driver.session.hasChanges
            #expect(!hasMore)
            return keys
        }
    }

    private func key(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func everyChangeIsNoted() throws {
        let driver = try driver()
        let now = Self.now
        #expect(changes(driver) { _ = $0.set(key("a"), [1], now: now) } == ["a"])
        #expect(changes(driver) { _ = $0.store(.add, key("b"), [1], now: now) } == ["b"])
        #expect(changes(driver) { _ = $0.store(.append, key("a"), [1], now: now) } == ["a"])
        #expect(changes(driver) { _ = $0.store(.replace, key("a"), [1], now: now) } == ["a"])
        #expect(
            changes(driver) { driver in
                driver.withHashed(key("a")) { _ = driver.session.touch($0, expiry: Self.later, now: now) }
            } == ["a"])
        #expect(changes(driver) { _ = $0.delete(key("a"), now: now) } == ["a"])
        // A set that is refused drops the old value. So does a set whose expiry is in the past.
        #expect(changes(driver) { _ = $0.set(key("b"), [UInt8](repeating: 0, count: 201), now: now) } == ["b"])
        #expect(changes(driver) { _ = $0.store(.set, key("c"), [1], expiry: now - 1, now: now) } == ["c"])
    }

    @Test func readsAndRefusedCommandsAreNotNoted() throws {
        let driver = try driver(itemsMax: 1)
        let now = Self.now
        _ = changes(driver) { _ = $0.set(key("a"), [1], now: now) }
        #expect(
            changes(driver) { driver in
                _ = driver.find(key("a"), now: now)
                _ = driver.store(.add, key("a"), [2], now: now)
                _ = driver.store(.replace, key("none"), [2], now: now)
                _ = driver.store(.add, key("full"), [2], now: now)
                _ = driver.delete(key("none"), now: now)
                driver.session.pauseChanges(true)
                _ = driver.set(key("a"), [3], now: now)
                driver.session.pauseChanges(false)
            }.isEmpty)
        #expect(changes(driver) { _ = $0.set(key("a"), [4], now: now) } == ["a"])
    }

    @Test func withoutLimitsThereIsNoLog() throws {
        let driver = try StoreDriver(Store(StoreConfiguration(memoryBytes: 8 << 20)))
        driver.session.recordChanges()
        #expect(changes(driver) { _ = $0.set(key("a"), [1], now: Self.now) }.isEmpty)
    }
}
