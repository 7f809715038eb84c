import Foundation
import LarderStore

/// Threads at the same few keys of a small arena: every value that is read is one that was stored,
/// whole, under that key. The tests run it, and `larder-model` under the thread sanitizer.
package struct ConcurrentRun {
    /// What a run stresses.
    package enum Load: String, CaseIterable, Sendable {
        case smallValues
        /// Up to half a slab, and runs of several.
        case allSizes
        /// As `smallValues`, over many keys, so that the index grows and overflows.
        case manyKeys
        /// Nothing may be dropped.
        case withoutEviction
        /// Slabs that open and fill while another thread looks for adjacent ones: as long as most of the arena is
        /// free, nothing is dropped for them.
        case roomForLargeItems
    }

    package var load: Load
    package var slabBytes: Int
    package var threads = 4
    /// Turns of each thread.
    package var rounds = 5000

    package init(_ load: Load, slabBytes: Int) {
        self.load = load
        self.slabBytes = slabBytes
    }

    /// Runs all threads to their end.
    /// - Returns: what was wrong; empty: nothing.
    package func failures() throws -> [String] {
        let store = try Store(configuration)
        let failures = FailureList()
        let group = DispatchGroup()
        for thread in 0..<threads {
            group.enter()
            Thread {
                do {
                    let driver = try StoreDriver(store)
                    let failure = load == .roomForLargeItems ? useRoom(driver, thread) : work(driver, thread)
                    if let failure { failures.add("thread \(thread): \(failure)") }
                } catch { failures.add("\(error)") }
                group.leave()
            }.start()
        }
        group.wait()
        return try failures.all + store.checkInvariants() + failuresAtTheEnd(store)
    }

    private var configuration: StoreConfiguration {
        guard load != .roomForLargeItems else {
            return StoreConfiguration(
                memoryBytes: slabBytes * 512, slabBytes: slabBytes, hashSeed: 1, sessionsExpected: threads)
        }
        var configuration = StoreConfiguration(
            memoryBytes: slabBytes * 96, slabBytes: slabBytes, evicts: load != .withoutEviction,
            bucketIntervalMilliseconds: 200, hashSeed: 1, sessionsExpected: threads)
        // A flush takes some slices, so that others write meanwhile.
        configuration.bucketsSweptMax = 64
        return configuration
    }

    private func work(_ driver: StoreDriver, _ thread: Int) -> String? {
        driver.receivesInPlace = thread % 2 == 0
        var worker = ConcurrentWorker(
            driver: driver, load: load, slabBytes: slabBytes, random: SeededRandom(seed: UInt64(thread)))
        return worker.run(rounds: rounds)
    }

    /// Half of the threads open a slab for every item or two, half take two slabs each.
    private func useRoom(_ driver: StoreDriver, _ thread: Int) -> String? {
        let value = [UInt8](repeating: UInt8(thread), count: slabBytes * (thread % 2 == 0 ? 6 : 15) / 10)
        var random = SeededRandom(seed: UInt64(thread))
        var present = Set<Int>()
        for round in 0..<rounds * 4 {
            let number = random.number(0...7)
            let key = [UInt8](key: "\(thread)-\(number)")
            let now = ConcurrentWorker.start + Int64(round)
            let isWhole = driver.turn(now) { driver in
                let isFound = driver.find(key, now: now)?.value == value
                if round % 5 == 0 {
                    _ = driver.delete(key, now: now)
                } else {
                    _ = driver.set(key, value, now: now)
                }
                return isFound
            }
            if isWhole != present.contains(number) { return "\(thread)-\(number) in round \(round)" }
            if round % 5 == 0 { present.remove(number) } else { present.insert(number) }
        }
        return nil
    }

    /// Nothing is lost: with all items gone, all slabs come back.
    private func failuresAtTheEnd(_ store: Store) throws -> [String] {
        if load == .roomForLargeItems {
            let evictions = store.statistics.counters.evictions
            return evictions == 0 ? [] : ["\(evictions) evictions while most of the arena is free"]
        }
        let driver = try StoreDriver(store)
        driver.turn(ConcurrentWorker.end) { $0.session.flush() }
        for tick in 1...40 { driver.turn(ConcurrentWorker.end + Int64(tick) * 1000) { _ in } }
        var broken = store.checkInvariants()
        let (slabs, counters) = (store.statistics.slabs, store.statistics.counters)
        if slabs.used + slabs.limbo + slabs.open != 0 { broken.append("slabs stay in use: \(slabs)") }
        if counters.items != 0 || counters.liveBlocks != 0 { broken.append("items stay counted: \(counters)") }
        return broken
    }
}

/// What went wrong in some thread.
///
/// SAFETY: `@unchecked Sendable` because the list is only touched under its lock.
package final class FailureList: @unchecked Sendable {
    private let lock = NSLock()
    private var list: [String] = []

    package init() {}

    package func add(_ failure: String) { lock.withLock { list.append(failure) } }
    package var all: [String] { lock.withLock { list } }
}
