/// The span of time in which the items of one slab expire.
///
/// Buckets are fine near the present and coarse far from it: at level L they are
/// `interval × 4^L` wide and serve items with up to 16 such widths left. So there are few of them
/// however long items live, and each is given back within one `interval` after its time: a coarse
/// bucket's slabs are sorted into finer ones when its time begins (a timing wheel with levels:
/// Varghese & Lauck 1987).
struct TimeBucket: Equatable, Sendable {
    /// Items of the bucket expire after `start` and not after `end`, in absolute milliseconds.
    var start: Int64
    var end: Int64
    var level: Int32

    /// Items that never expire.
    static let never = TimeBucket(start: 0, end: Int64.max, level: -1)

    /// An item's expiry is kept as 32 bits of milliseconds from its bucket's start.
    static let widthMax = Int64(1) << 31

    @inline(__always)
    init(start: Int64, end: Int64, level: Int32) {
        self.start = start
        self.end = end
        self.level = level
    }

    /// - Parameter shift: how fine: a bucket is as wide as what is left, shifted by this. 1 makes few and
    ///   wide buckets, for a session that has too many open already.
    init(expiry: Int64, now: Int64, interval: Int64, shift: Int64 = 4) {
        guard expiry != Int64.max else {
            self = .never
            return
        }
        let left = max(0, expiry &- now) >> shift
        var width = interval
        var level: Int32 = 0
        while left > width, width <= Self.widthMax / 4 {
            width *= 4
            level += 1
        }
        let start = (max(1, expiry) &- 1) / width &* width
        // The last bucket of the number range ends with it; its very last number means "never".
        let (end, isBeyond) = start.addingReportingOverflow(width)
        self.init(start: start, end: isBeyond ? Int64.max - 1 : min(end, Int64.max - 1), level: level)
        assert(self.start < self.end && width <= Self.widthMax)
    }

    /// The bucket of the next level that this one lies in.
    func wider(_ interval: Int64) -> TimeBucket {
        let width = interval << (2 * Int64(level + 1))
        guard level >= 0, width <= Self.widthMax else { return self }
        let wideStart = start / width &* width
        let (wideEnd, isBeyond) = wideStart.addingReportingOverflow(width)
        return TimeBucket(
            start: wideStart, end: isBeyond ? Int64.max - 1 : min(wideEnd, Int64.max - 1), level: level + 1)
    }

    /// When a slab of this bucket, opened now, wants attention: a fine one when it is all dead, a
    /// coarse one when its items can be told apart. One that has begun already, since its session had
    /// too many open, only takes items with more than an eighth of its width left: before that is
    /// over, none is dead.
    func attention(now: Int64, interval: Int64) -> Int64 {
        level > 0 ? min(end, max(start, now &+ max(interval, (end &- start) / 8))) : end
    }
}

/// Slabs by the time when they want attention: a binary heap. Entries are not taken out when a slab
/// is emptied earlier; they are known for stale by the slab's sequence number.
struct ExpiryHeap {
    struct Entry {
        var time: Int64
        var slab: UInt32
        var sequence: UInt64
    }
    private(set) var entries: [Entry] = []

    var first: Entry? { entries.first }

    mutating func push(_ entry: Entry) {
        entries.append(entry)
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if entries[parent].time <= entries[child].time { break }
            entries.swapAt(parent, child)
            child = parent
        }
    }

    @discardableResult
    mutating func pop() -> Entry? {
        guard let top = entries.first, let last = entries.popLast() else { return nil }
        assert(top.time <= last.time)
        guard !entries.isEmpty else { return top }
        entries[0] = last
        var parent = 0
        while true {
            var least = parent
            let left = 2 * parent + 1
            for child in [left, left + 1] where child < entries.count {
                if entries[child].time < entries[least].time { least = child }
            }
            if least == parent { return top }
            entries.swapAt(least, parent)
            parent = least
        }
    }

    /// Drops entries for which `isStale` holds; worth its while when they are most of the heap.
    mutating func removeStale(_ isStale: (Entry) -> Bool) {
        let kept = entries.filter { !isStale($0) }
        entries.removeAll(keepingCapacity: true)
        for entry in kept { push(entry) }
    }
}
