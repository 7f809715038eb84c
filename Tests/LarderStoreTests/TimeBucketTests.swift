import LarderTesting
import Testing

@testable import LarderStore

@Suite struct TimeBucketTests {
    private static let now: Int64 = 1_700_000_000_000

    @Test(arguments: [1, 1000, 15_000, Int64(1) << 31], [false, true])
    func coversItsExpiry(interval: Int64, coarse: Bool) {
        var random = SeededRandom(seed: 3)
        for _ in 0..<20_000 {
            let now = random.once(in: 10) ? 0 : Self.now + Int64(random.number(0...1_000_000))
            let left = Int64(random.next() >> UInt64(random.number(2...62)))
            let expiry = min(now &+ max(1, left), Int64.max - 1)
            let bucket = TimeBucket(expiry: expiry, now: now, interval: interval, shift: coarse ? 1 : 4)
            #expect(bucket.start < expiry && expiry <= bucket.end, "\(expiry) at \(now): \(bucket)")
            // What an item keeps of its expiry are 32 bits from the bucket's start.
            #expect(bucket.end - bucket.start <= Int64(UInt32.max))
            #expect(bucket.end != Int64.max && bucket.level >= 0)
        }
    }

    @Test func expiriesAtTheEndsOfTheNumberRange() {
        for expiry in [Int64.max - 1, Int64.max - 2, Int64.max - 1 << 31, Int64.max / 2, 1, 0, -5] {
            let bucket = TimeBucket(expiry: expiry, now: Self.now, interval: 1000)
            #expect(bucket.start < max(1, expiry) && expiry <= bucket.end)
        }
        #expect(TimeBucket(expiry: Int64.max, now: Self.now, interval: 1000) == .never)
    }

    @Test func isFineNearAndCoarseFar() {
        func width(_ left: Int64, coarse: Bool = false) -> Int64 {
            let bucket = TimeBucket(expiry: Self.now + left, now: Self.now, interval: 1000, shift: coarse ? 1 : 4)
            return bucket.end - bucket.start
        }
        #expect(width(1) == 1000)
        #expect(width(16_000) == 1000)
        #expect(width(16_999) == 4000)
        #expect(width(64_000) == 4000)
        #expect(width(86_400_000) == 16_384_000)
        #expect(width(2000, coarse: true) == 1000)
        #expect(width(16_000, coarse: true) == 16_000)
    }

    /// The slab of a bucket is looked at before an item in it has been dead for an interval.
    @Test(arguments: [false, true])
    func attentionComesInTime(coarse: Bool) {
        var random = SeededRandom(seed: 4)
        for _ in 0..<20_000 {
            let left = Int64(random.next() >> UInt64(random.number(30...60))) + 1
            let bucket = TimeBucket(expiry: Self.now + left, now: Self.now, interval: 1000, shift: coarse ? 1 : 4)
            let attention = bucket.attention(now: Self.now, interval: 1000)
            #expect(attention > Self.now && attention <= bucket.end)
            #expect(attention <= Self.now + left + 1000, "\(left) left in \(bucket)")
        }
    }

    @Test func heapGivesTheEarliestFirst() {
        var random = SeededRandom(seed: 5)
        var heap = ExpiryHeap()
        var times: [Int64] = []
        for step in 0..<5000 {
            if times.isEmpty || random.number(0...2) > 0 {
                let time = Int64(random.number(0...500))
                heap.push(ExpiryHeap.Entry(time: time, slab: UInt32(step), sequence: UInt64(step)))
                times.append(time)
            } else {
                let earliest = times.indices.min { times[$0] < times[$1] }!
                #expect(heap.first?.time == times[earliest])
                #expect(heap.pop()?.time == times.remove(at: earliest))
            }
        }
        heap.removeStale { $0.slab % 2 == 0 }
        #expect(heap.entries.allSatisfy { $0.slab % 2 == 1 })
        var last = Int64.min
        while let entry = heap.pop() {
            #expect(entry.time >= last)
            last = entry.time
        }
        #expect(heap.first == nil && heap.pop() == nil)
    }
}
