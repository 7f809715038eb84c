import Foundation
import Glibc
import LarderTesting
import Testing

@testable import LarderStore

/// Stale items, wins, chosen cas numbers and times of access.
@Suite struct MarksTests {
    static let start: Int64 = 1_700_000_000_000
    let store: Store
    let driver: StoreDriver

    init() throws {
        store = try Store(StoreConfiguration(memoryBytes: 1 << 20, slabBytes: 4096, hashSeed: 1))
        driver = try StoreDriver(store)
    }

    /// What a client sees of an item beyond its value.
    private struct Marks: Equatable {
        var isStale = false
        var isWinSent = false
        var wasFetched = false
        var cas: UInt64 = 0
        var accessedAgo = 0
    }

    private func marks(_ key: [UInt8], now: Int64 = start) -> Marks? {
        driver.withHashed(key) { key in
            driver.session.find(key, now: now).map { item in
                Marks(
                    isStale: item.isStale, isWinSent: item.isWinSent, wasFetched: item.wasFetched,
                    cas: driver.session.cas(of: item),
                    accessedAgo: driver.session.secondsSinceAccess(item, now: now))
            }
        }
    }

    @Test func marksOfAPlainItem() {
        driver.turn(Self.start) { driver in
            let result = driver.store(.set, [1], [1, 2], now: Self.start)
            #expect(marks([1]) == Marks(cas: result.cas))
            #expect(result.valueLength == 2)
        }
    }

    // MARK: cas

    @Test(arguments: [0, 1, 7, 1 << 24, 1 << 40, UInt64.max])
    func aChosenCasIsSeenAndCompared(cas: UInt64) {
        driver.turn(Self.start) { driver in
            for number in 0..<20 { #expect(driver.set([9, UInt8(number)], [1], now: Self.start) == .stored) }
            var options = WriteOptions()
            options.newCas = cas
            let first = driver.store(.set, [1], [1], options, now: Self.start)
            #expect(first.outcome == .stored && first.cas == cas)
            #expect(marks([1])?.cas == cas)
            // Another write with the same number is another write all the same.
            let version = driver.version([1], now: Self.start)
            #expect(driver.store(.set, [1], [2], options, now: Self.start).cas == cas)
            #expect(driver.version([1], now: Self.start) ?? 0 > version ?? 0)
            // The next cas of others goes on where it was.
            #expect(driver.store(.set, [2], [1], now: Self.start).cas == 23)
            var condition = WriteOptions()
            condition.cas = cas
            #expect(driver.store(.append, [1], [3], condition, now: Self.start).outcome == .stored)
            #expect(
                driver.store(.append, [1], [4], condition, now: Self.start).outcome == (cas == 24 ? .stored : .exists))
            #expect(driver.find([1], now: Self.start)?.value == [2, 3])
        }
    }

    @Test func aChosenCasMovesAlong() {
        driver.turn(Self.start) { driver in
            var options = WriteOptions()
            options.newCas = 5
            let expiry = Self.start + 20_000
            #expect(driver.store(.set, [1], [1], expiry: expiry, options, now: Self.start).cas == 5)
            #expect(driver.touch([1], expiry: Self.start + 86_400_000, now: Self.start) == .stored)
            #expect(marks([1])?.cas == 5)
            #expect(driver.touch([1], expiry: Int64.max, now: Self.start) == .stored)
            #expect(marks([1])?.cas == 5)
        }
    }

    /// Rewriting a key with the very same cas while it is appended to must not mix two values.
    @Test func anAppendSeesThatTheSameCasIsAnotherWrite() {
        driver.turn(Self.start) { driver in
            var options = WriteOptions()
            options.newCas = 5
            _ = driver.store(.set, [1], [1], options, now: Self.start)
            let version = driver.version([1], now: Self.start)
            _ = driver.store(.set, [1], [2], options, now: Self.start)
            var condition = WriteOptions()
            condition.version = version
            #expect(driver.store(.append, [1], [3], condition, now: Self.start).outcome == .exists)
            #expect(driver.find([1], now: Self.start)?.value == [2])
        }
    }

    @Test func anOlderCasMayBeAcceptedAsStale() {
        driver.turn(Self.start) { driver in
            let expiry = Self.start + 40_000
            let cas = driver.store(.set, [1], [1], flags: 3, expiry: expiry, now: Self.start).cas
            var options = WriteOptions()
            options.cas = cas - 1
            #expect(driver.store(.compareAndSwap, [1], [2], options, now: Self.start).outcome == .exists)
            options.acceptsOlder = true
            options.cas = cas + 1
            #expect(driver.store(.compareAndSwap, [1], [2], options, now: Self.start).outcome == .exists)
            options.cas = cas - 1
            let later = Self.start + 90_000
            let stored = driver.store(
                .compareAndSwap, [1], [2], flags: 9, expiry: later, options, now: Self.start)
            #expect(stored.outcome == .stored && stored.cas > cas)
            #expect(marks([1]) == Marks(isStale: true, cas: stored.cas))
            let found = driver.find([1], now: Self.start)
            #expect(found?.value == [2] && found?.clientFlags == 9 && found?.expiry == expiry)
            // The exact one makes it fresh again.
            options.cas = stored.cas
            let fresh = driver.store(.compareAndSwap, [1], [3], expiry: later, options, now: Self.start)
            #expect(marks([1]) == Marks(cas: fresh.cas))
            #expect(driver.find([1], now: Self.start)?.expiry == later)
        }
    }

    // MARK: Wins

    @Test func oneOfManyVivifies() {
        driver.turn(Self.start) { driver in
            let expiry = Self.start + 30_000
            let created = driver.vivify([1], expiry: expiry, now: Self.start)
            #expect(created.outcome == .stored)
            #expect(marks([1]) == Marks(isWinSent: true, cas: created.cas))
            #expect(driver.find([1], now: Self.start)?.expiry == expiry)
            #expect(driver.vivify([1], expiry: expiry, now: Self.start).outcome == .notStored)
            // Dead again, free again.
            #expect(driver.vivify([1], expiry: expiry + 9000, now: expiry).outcome == .stored)
        }
    }

    @Test func aWinIsClaimedOnceUntilTheNextStore() {
        driver.turn(Self.start) { driver in
            _ = driver.store(.set, [1], [1], now: Self.start)
            #expect(driver.claimWin([1], now: Self.start) == .won)
            #expect(driver.claimWin([1], now: Self.start) == .alreadySent)
            #expect(marks([1])?.isWinSent == true)
            // A move keeps it, a new value does not.
            #expect(driver.touch([1], expiry: Self.start + 500_000, now: Self.start) == .stored)
            #expect(driver.claimWin([1], now: Self.start) == .alreadySent)
            _ = driver.store(.append, [1], [1], now: Self.start)
            #expect(driver.claimWin([1], now: Self.start) == .won)
        }
    }

    @Test func markingStaleFreesTheWin() {
        driver.turn(Self.start) { driver in
            let expiry = Self.start + 40_000
            let cas = driver.store(.set, [1], [1, 2, 3], flags: 7, expiry: expiry, now: Self.start).cas
            #expect(driver.claimWin([1], now: Self.start) == .won)
            var itemMarks = ItemMarks()
            itemMarks.marksStale = true
            itemMarks.cas = cas + 1
            #expect(driver.revise([1], itemMarks, now: Self.start) == .exists)
            itemMarks.cas = cas
            #expect(driver.revise([1], itemMarks, now: Self.start) == .stored)
            let now = marks([1])
            #expect(now == Marks(isStale: true, cas: now?.cas ?? 0))
            #expect(now?.cas ?? 0 > cas)
            var found = driver.find([1], now: Self.start)
            #expect(found?.value == [1, 2, 3] && found?.clientFlags == 7 && found?.expiry == expiry)
            itemMarks = ItemMarks()
            itemMarks.marksStale = true
            itemMarks.expiry = Self.start + 5000
            itemMarks.newCas = 77
            #expect(driver.revise([1], itemMarks, now: Self.start) == .stored)
            #expect(marks([1]) == Marks(isStale: true, cas: 77))
            found = driver.find([1], now: Self.start)
            #expect(found?.value == [1, 2, 3] && found?.expiry == Self.start + 5000)
            #expect(driver.revise([2], itemMarks, now: Self.start) == .notFound)
        }
    }

    @Test func emptyingKeepsTheCas() {
        driver.turn(Self.start) { driver in
            let expiry = Self.start + 40_000
            let cas = driver.store(.set, [1], [1, 2, 3], flags: 7, expiry: expiry, now: Self.start).cas
            var itemMarks = ItemMarks()
            itemMarks.empties = true
            #expect(driver.revise([1], itemMarks, now: Self.start) == .stored)
            #expect(
                driver.find([1], now: Self.start)
                    == FoundItem(value: [], clientFlags: 0, expiry: Int64.max, cas: cas))
            #expect(marks([1]) == Marks(cas: cas))
            itemMarks.marksStale = true
            itemMarks.expiry = expiry
            #expect(driver.revise([1], itemMarks, now: Self.start) == .stored)
            #expect(marks([1])?.isStale == true)
            #expect(marks([1])?.cas ?? 0 > cas)
            #expect(driver.find([1], now: Self.start)?.expiry == expiry)
        }
    }

    /// All of a store's items are moved again and again while threads claim wins and read: a mark
    /// that is lost in a move shows as a second win.
    @Test func winsAreUniqueAmongThreadsWhileItemsMove() throws {
        let threads = 4
        let keys = 40
        let rounds = 150
        let store = try Store(
            StoreConfiguration(
                memoryBytes: 320 << 10, slabBytes: 1024, evicts: false, bucketIntervalMilliseconds: 200,
                hashSeed: 1, sessionsExpected: threads + 1))
        let wins = WinCounts(count: keys * rounds)
        let gate = Gate(threads)
        let group = DispatchGroup()
        for thread in 0..<threads {
            group.enter()
            Thread {
                defer { group.leave() }
                // A thread that is missing would keep the others waiting.
                guard let driver = try? StoreDriver(store) else { fatalError("no session") }
                var random = SeededRandom(seed: UInt64(thread))
                for round in 0..<rounds {
                    let now = Self.start + Int64(round) * 300
                    gate.wait()
                    for key in 0..<keys {
                        driver.turn(now) { driver in
                            let name: [UInt8] = [UInt8(key), UInt8(round & 255), UInt8(round >> 8)]
                            let expiry = now + 60_000
                            if driver.vivify(name, expiry: expiry, now: now).outcome == .stored {
                                wins.add(round * keys + key)
                            }
                            _ = driver.find(name, now: now, marks: true)
                            if random.once(in: 3) {
                                _ = driver.touch(name, expiry: now + Int64(random.number(50_000...90_000)), now: now)
                            }
                            if driver.claimWin(name, now: now) == .won { wins.add(round * keys + key) }
                        }
                    }
                }
            }.start()
        }
        group.wait()
        let counters = store.statistics.counters
        #expect(counters.evictions == 0 && counters.expired == 0)
        #expect(counters.itemsMoved > 0)
        let counts = Dictionary(grouping: wins.all) { $0 }.mapValues(\.count)
        // Where there was no room nobody won.
        #expect(counts.keys.allSatisfy { $0 <= 1 } && counts[1] ?? 0 > keys * rounds / 2)
        #expect(store.checkInvariants().isEmpty)
    }

    // MARK: Times of access

    @Test func theLastAccessIsNotedWhileItChangesSomething() {
        driver.turn(Self.start) { driver in
            _ = driver.store(.set, [1], [1], now: Self.start)
            #expect(marks([1], now: Self.start + 7000)?.accessedAgo == 7)
            _ = driver.find([1], now: Self.start + 9000, marks: true)
            #expect(marks([1], now: Self.start + 12_000)?.accessedAgo == 3)
            for _ in 0..<3 { _ = driver.find([1], now: Self.start + 20_000, marks: true) }
            #expect(marks([1], now: Self.start + 20_000)?.accessedAgo == 0)
            // Asked for all the time: noted no more.
            _ = driver.find([1], now: Self.start + 30_000, marks: true)
            #expect(marks([1], now: Self.start + 30_000)?.accessedAgo == 10)
        }
    }

    /// Sixteen bits go round in 18 hours; the slab's age tells how often they have.
    @Test func anItemNeverFoundIsAsOldAsItIs() {
        driver.turn(Self.start) { _ = $0.store(.set, [1], [1], now: Self.start) }
        for days in [1, 2, 30, 365] {
            let now = Self.start + Int64(days) * 86_400_000
            driver.turn(now) { _ in #expect(marks([1], now: now)?.accessedAgo == days * 86_400) }
        }
    }

    /// A worker whose turn began a moment earlier sees an access from the future.
    @Test func anAccessAheadIsNow() {
        driver.turn(Self.start) { driver in
            _ = driver.store(.set, [1], [1], now: Self.start)
            #expect(marks([1], now: Self.start - 2000)?.accessedAgo == 0)
        }
    }
}

/// Lets threads go on together.
///
/// SAFETY: `@unchecked Sendable` because a barrier is made to be shared.
private final class Gate: @unchecked Sendable {
    private let barrier = UnsafeMutablePointer<pthread_barrier_t>.allocate(capacity: 1)
    init(_ threads: Int) { pthread_barrier_init(barrier, nil, UInt32(threads)) }
    deinit {
        pthread_barrier_destroy(barrier)
        barrier.deallocate()
    }
    func wait() { pthread_barrier_wait(barrier) }
}

/// Wins by key, counted by many threads.
///
/// SAFETY: `@unchecked Sendable` because the counts are only touched under the lock.
private final class WinCounts: @unchecked Sendable {
    private let lock = NSLock()
    private var counts: [Int]
    init(count: Int) { counts = Array(repeating: 0, count: count) }
    func add(_ index: Int) { lock.withLock { counts[index] += 1 } }
    var all: [Int] { lock.withLock { counts } }
}
