/// What came of a mix.
public struct Outcome: Sendable {
    /// Of the requests that count.
    public var hits = 0
    public var requests = 0
    public var hitBytes = 0
    public var requestBytes = 0
    /// Values that the cache refused, in all.
    public var refusals = 0
    /// Items moved a store, where the cache tells.
    public var movesPerStore = 0.0
    /// Processor time of the cache, where it is this process's own.
    public var nanosecondsPerRequest = 0.0

    public var hitRatio: Double { Double(hits) / Double(max(1, requests)) }
    public var byteHitRatio: Double { Double(hitBytes) / Double(max(1, requestBytes)) }

    public init() {}

    mutating func count(isHit: Bool, bytes: Int) {
        requests += 1
        requestBytes += bytes
        guard isHit else { return }
        hits += 1
        hitBytes += bytes
    }
}
