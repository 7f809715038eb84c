/// What came of a mix.
struct Outcome: Sendable {
    /// Of the requests that count.
    var hits = 0
    var requests = 0
    var hitBytes = 0
    var requestBytes = 0
    /// Values that the cache refused, in all.
    var refusals = 0
    /// Items moved a store, where the cache tells.
    var movesPerStore = 0.0
    /// Processor time of the cache, where it is this process's own.
    var nanosecondsPerRequest = 0.0

    var hitRatio: Double { Double(hits) / Double(max(1, requests)) }
    var byteHitRatio: Double { Double(hitBytes) / Double(max(1, requestBytes)) }

    init() {}

    mutating func count(isHit: Bool, bytes: Int) {
        requests += 1
        requestBytes += bytes
        guard isHit else { return }
        hits += 1
        hitBytes += bytes
    }
}
