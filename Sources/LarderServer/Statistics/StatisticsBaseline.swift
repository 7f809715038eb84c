/// What the counters stood at when they were last reset.
struct StatisticsBaseline: Sendable {
    var counters = [Int64](repeating: 0, count: Counter.allCases.count)
    var itemsStored: Int64 = 0
    var evictions: Int64 = 0
    var evictionsUnfetched: Int64 = 0
    var evictionsWithExpiry: Int64 = 0
    var expired: Int64 = 0
    var expiredUnfetched: Int64 = 0
    var expiredFound: Int64 = 0
    var outOfMemory: Int64 = 0
    var slabsReclaimed: Int64 = 0
}
