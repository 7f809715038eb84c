import LarderTesting
import Testing

@testable import LarderStore

/// What is loaded of another server beside what clients do.
@Suite struct LoadingTests {
    private static let now: Int64 = 1_700_000_000_000

    private func driver(itemsMax: Int = 10, purges: Bool = false, clears: Bool = false) throws -> StoreDriver {
        var limits = StoreLimits(
            itemsMax: itemsMax, blockBytes: 64, blocksMax: 4 * itemsMax, isBitmap: true, valueBytesMax: 200)
        limits.purgesLeastRecentlyUsed = purges
        limits.clearsOnFull = clears
        let driver = try StoreDriver(LimitedRun.store(limits, seed: 1))
        driver.whole.beginLoad()
        return driver
    }

    private func load(_ driver: StoreDriver, _ text: String, _ value: [UInt8] = [9], uses: Int = 0) -> LoadOutcome {
        driver.withHashed(key(text)) { key in
            value.withUnsafeBytes { bytes in
                driver.session.load(
                    key, value: bytes.baseAddress ?? key.bytes, valueLength: bytes.count, clientFlags: 5,
                    expiry: Self.now + 60_000, uses: uses, now: Self.now)
            }
        }
    }

    private func key(_ text: String) -> [UInt8] { Array(text.utf8) }

    @Test func whatClientsDoIsNewer() throws {
        let driver = try driver()
        driver.turn(Self.now) { driver in
            _ = driver.set(key("stored"), [1], now: Self.now)
            _ = driver.set(key("refused"), [UInt8](repeating: 0, count: 201), now: Self.now)
            _ = driver.delete(key("missing"), now: Self.now)
            for text in ["stored", "refused", "missing"] { #expect(load(driver, text) == .changed) }
            #expect(load(driver, "other") == .loaded)
            // What was loaded does not count as changed: another dump may have it, too.
            #expect(load(driver, "other", [8]) == .loaded)
            #expect(driver.find(key("stored"), now: Self.now)?.value == [1])
            #expect(driver.find(key("missing"), now: Self.now) == nil)
            let other = driver.find(key("other"), now: Self.now)
            #expect(other?.value == [8] && other?.clientFlags == 5 && other?.expiry == Self.now + 60_000)
        }
    }

    @Test func nothingGoesForIt() throws {
        for (purges, clears) in [(true, false), (false, true), (false, false)] {
            let driver = try driver(itemsMax: 2, purges: purges, clears: clears)
            driver.turn(Self.now) { driver in
                _ = driver.set(key("a"), [1], now: Self.now)
                #expect(load(driver, "b") == .loaded)
                #expect(load(driver, "c") == .noRoom)
                #expect(load(driver, "b", [UInt8](repeating: 1, count: 201)) == .noRoom)
                #expect(driver.find(key("a"), now: Self.now)?.value == [1])
                #expect(driver.find(key("b"), now: Self.now)?.value == [9])
                #expect(driver.statistics.limitUse?.full == 0)
            }
        }
    }

    @Test func aClearEndsIt() throws {
        let driver = try driver()
        driver.turn(Self.now) { driver in
            #expect(load(driver, "a") == .loaded)
            driver.session.flush()
            #expect(load(driver, "b") == .over)
        }
        driver.whole.endLoad()
        driver.turn(Self.now) { driver in #expect(load(driver, "b") == .over) }
    }

    @Test func usesAreKept() throws {
        let driver = try driver()
        for (text, uses, kept) in [("a", 0, 0), ("b", 1, 1), ("c", 3, 3), ("d", Int.max, 3)] {
            driver.turn(Self.now) { driver in
                #expect(load(driver, text, uses: uses) == .loaded)
                driver.withHashed(key(text)) { key in
                    #expect(driver.session.find(key, now: Self.now)?.uses == kept)
                }
            }
        }
    }

    @Test func whatOnlyTheFileHadGoes() throws {
        let driver = try driver()
        driver.whole.endLoad()
        driver.turn(Self.now) { driver in
            for text in ["old", "loaded", "changed"] { _ = driver.set(key(text), [1], now: Self.now) }
        }
        driver.whole.beginLoad()
        driver.turn(Self.now) { driver in
            _ = driver.set(key("changed"), [2], now: Self.now)
            #expect(load(driver, "loaded") == .loaded)
            let loaded = Set([driver.withHashed(key("loaded")) { $0.hash }])
            var walk = ItemWalk()
            var removed = 0
            while !walk.isComplete { removed += driver.session.removeUnloaded(&walk, loaded: loaded) }
            #expect(removed == 1)
            #expect(driver.find(key("old"), now: Self.now) == nil)
            #expect(driver.find(key("changed"), now: Self.now)?.value == [2])
            #expect(driver.find(key("loaded"), now: Self.now)?.value == [9])
        }
    }

    // MARK: Snapshots

    /// Values as they were counted, whatever becomes of their items.
    @Test func aSnapshotStays() throws {
        let driver = try driver(purges: true)
        let texts = ["kept", "replaced", "deleted", "expired", "twice"]
        driver.turn(Self.now) { driver in
            for text in texts { _ = driver.set(key(text), key("value of " + text), now: Self.now) }
        }
        driver.session.beginSnapshot()
        var numbers: [String: UInt32] = [:]
        driver.turn(Self.now) { driver in
            var walk = ItemWalk()
            while !walk.isComplete {
                driver.session.takeSnapshot(&walk, now: Self.now) { item in
                    let number = UInt32(numbers.count)
                    numbers[String(decoding: item.keyBytes, as: UTF8.self)] = number
                    return number
                }
            }
        }
        #expect(numbers.count == texts.count)
        driver.turn(Self.now) { driver in
            _ = driver.set(key("replaced"), [1], now: Self.now)
            _ = driver.delete(key("deleted"), now: Self.now)
            _ = driver.set(key("expired"), [1], expiry: Self.now - 1, now: Self.now)
            for value in 0..<3 { _ = driver.set(key("twice"), [UInt8(value)], now: Self.now) }
            for new in 0..<20 { _ = driver.set(key("new-\(new)"), [1], now: Self.now) }
        }
        driver.turn(Self.now) { driver in
            for text in texts {
                let number = numbers[text] ?? UInt32.max
                // In two parts.
                #expect(read(driver, text, number, 0..<4) == Array("valu".utf8))
                let length = key("value of " + text).count
                #expect(read(driver, text, number, 4..<length) == Array(key("value of " + text)[4...]))
                #expect(read(driver, text, number, 0..<4) != Array("valu".utf8) || text == "kept")
            }
        }
        driver.session.endSnapshot()
    }

    @Test func aClearBreaksASnapshot() throws {
        let driver = try driver()
        driver.turn(Self.now) { driver in _ = driver.set(key("a"), [1, 2, 3, 4], now: Self.now) }
        driver.session.beginSnapshot()
        driver.turn(Self.now) { driver in
            var walk = ItemWalk()
            while !walk.isComplete { driver.session.takeSnapshot(&walk, now: Self.now) { _ in 0 } }
            #expect(read(driver, "a", 0, 0..<4) == [1, 2, 3, 4])
            driver.session.flush()
            #expect(read(driver, "a", 0, 0..<4) == nil)
            // A later item is no part of it.
            _ = driver.set(key("a"), [5, 6, 7, 8], now: Self.now)
            #expect(read(driver, "a", 0, 0..<4) == nil)
        }
        driver.session.endSnapshot()
    }

    /// A table that grows would keep writers waiting. So the dump ends if clients add very many items meanwhile.
    @Test func tooManyNewItemsBreakASnapshot() throws {
        for (added, isWhole) in [(1000, true), (20_000, false)] {
            let driver = try driver(itemsMax: 30_000)
            driver.session.beginSnapshot()
            driver.turn(Self.now) { driver in
                for number in 0..<added { _ = driver.set(key("key-\(number)"), [1, 2, 3, 4], now: Self.now) }
                var walk = ItemWalk()
                var found: [String] = []
                while !walk.isComplete {
                    driver.session.takeSnapshot(&walk, now: Self.now) { item in
                        found.append(String(decoding: item.keyBytes, as: UTF8.self))
                        return UInt32(found.count - 1)
                    }
                }
                #expect(isWhole ? found.count == added : (1024..<added).contains(found.count))
                #expect(read(driver, found[0], 0, 0..<4) == (isWhole ? [1, 2, 3, 4] : nil))
            }
            driver.session.endSnapshot()
        }
    }

    private func read(_ driver: StoreDriver, _ text: String, _ number: UInt32, _ range: Range<Int>) -> [UInt8]? {
        var part = [UInt8](repeating: 0, count: range.count)
        let isThere = driver.withHashed(key(text)) { key in
            part.withUnsafeMutableBytes { part in
                driver.session.readSnapshot(
                    number, key, offset: range.lowerBound, into: part, isLast: range.lowerBound > 0)
            }
        }
        return isThere ? part : nil
    }
}
