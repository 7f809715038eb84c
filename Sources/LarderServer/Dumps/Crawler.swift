import LarderStore
import Synchronization

/// What `lru_crawler` steers. Expired items give their memory back by themselves; a crawl does it at
/// once, by looking at every item.
final class Crawler: Sendable {
    private let enabled: Atomic<Bool>
    private let running = Atomic(false)
    private let startCount = Atomic(0)
    private let checkedCount = Atomic(0)
    private let reclaimedCount = Atomic(0)

    init(isEnabled: Bool) { enabled = Atomic(isEnabled) }

    /// Whether crawls and dumps of keys are allowed.
    var isEnabled: Bool { enabled.load(ordering: .relaxed) }
    var isRunning: Bool { running.load(ordering: .relaxed) }
    /// Crawls since the start or the last `stats reset`, items that they looked at, and those that
    /// they gave back.
    var starts: Int { startCount.load(ordering: .relaxed) }
    var checked: Int { checkedCount.load(ordering: .relaxed) }
    var reclaimed: Int { reclaimedCount.load(ordering: .relaxed) }

    /// False when it was so already.
    func setEnabled(_ isEnabled: Bool) -> Bool {
        enabled.exchange(isEnabled, ordering: .relaxed) != isEnabled
    }

    /// False while a crawl is under way.
    func begin() -> Bool {
        guard running.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
            return false
        }
        startCount.add(1, ordering: .relaxed)
        return true
    }

    func end() { running.store(false, ordering: .releasing) }

    func count(checked: Int, reclaimed: Int) {
        checkedCount.add(checked, ordering: .relaxed)
        reclaimedCount.add(reclaimed, ordering: .relaxed)
    }

    func resetCounters() {
        startCount.store(0, ordering: .relaxed)
        checkedCount.store(0, ordering: .relaxed)
        reclaimedCount.store(0, ordering: .relaxed)
    }
}

/// One crawl, as far as it has got: the worker that was asked for it goes on with it between turns.
struct Crawl {
    /// Buckets for one step.
    private static let bucketsMax = 128
    let cache: Int
    private var walk = ItemWalk()
    private var itemsLeft: Int

    /// - Parameters:
    ///   - cache: number of the cache whose items it is about.
    ///   - itemsMax: 0 for all of them.
    init(cache: Int, itemsMax: Int) {
        self.cache = cache
        itemsLeft = itemsMax > 0 ? itemsMax : Int.max
    }

    /// Looks at the next items; true when that was the last of them.
    mutating func step(_ session: borrowing Session, now: Int64, _ crawler: Crawler) -> Bool {
        for _ in 0..<Self.bucketsMax where !walk.isComplete && itemsLeft > 0 {
            let (seen, removed) = session.removeDead(&walk, itemsMax: itemsLeft, now: now)
            itemsLeft -= seen
            crawler.count(checked: seen, reclaimed: removed)
        }
        return walk.isComplete || itemsLeft == 0
    }
}
