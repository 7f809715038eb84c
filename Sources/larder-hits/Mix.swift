/// One of the request mixes that a hit ratio is measured with: what is asked for, and in how much memory.
struct Mix: Sendable {
    let name: String
    /// Keys that are asked for again and again, by Zipf's law.
    let keyCount: UInt64
    let exponent: Double
    /// Lengths of values, as many of one magnitude as of another; one number: all alike.
    let valueBytes: ClosedRange<Int>
    /// What the cache may use: `-m`.
    let memoryMegabytes: Int
    /// Of 100 requests, those for a key that is never asked for again.
    var oneHitWondersPercent: UInt64 = 0
    /// Whether half of the keys expire 2 to 6 seconds after they were stored.
    var expires = false
    /// Requests before those that count, and those that count.
    var warmUpRequests = 3_000_000
    var countedRequests = 3_000_000

    /// The clock of a mix: 100,000 requests a second.
    static let microsecondsPerRequest = 10

    static let all: [Mix] = [
        Mix(name: "zipf099", keyCount: 2_000_000, exponent: 0.99, valueBytes: 16...4096, memoryMegabytes: 64),
        Mix(name: "zipf10", keyCount: 2_000_000, exponent: 1, valueBytes: 16...4096, memoryMegabytes: 64),
        Mix(name: "zipf08", keyCount: 2_000_000, exponent: 0.8, valueBytes: 16...4096, memoryMegabytes: 64),
        Mix(
            name: "zipf099big", keyCount: 2_000_000, exponent: 0.99, valueBytes: 16...4096,
            memoryMegabytes: 256),
        Mix(
            name: "scan", keyCount: 2_000_000, exponent: 0.99, valueBytes: 16...4096, memoryMegabytes: 64,
            oneHitWondersPercent: 20),
        Mix(
            name: "ttl", keyCount: 2_000_000, exponent: 0.99, valueBytes: 16...4096, memoryMegabytes: 64,
            expires: true),
        Mix(name: "small", keyCount: 4_000_000, exponent: 0.99, valueBytes: 10...100, memoryMegabytes: 64),
        Mix(name: "fixed", keyCount: 2_000_000, exponent: 0.99, valueBytes: 200...200, memoryMegabytes: 64),
    ]
}
