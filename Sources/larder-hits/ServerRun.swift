import Glibc

/// What a server speaks.
enum ServerDialect: String, Sendable {
    /// memcached's text protocol, and so Larder's.
    case memcached
    /// Redis' protocol.
    case redis
}

struct ServerRunError: Error, CustomStringConvertible {
    let description: String
}

/// Replays a mix on a server at 127.0.0.1, in batches: `get`s, then `set`s of what was missed.
func runOnServer(_ requests: Requests, _ dialect: ServerDialect, port: UInt16) throws -> Outcome {
    let batchRequests = 32
    let connection = try BlockingConnection(port: port)
    var outcome = Outcome()
    var pace = Pace(isOn: requests.mix.expires)
    var next = 0
    while next < requests.keys.count {
        let batch = requests.keys[next..<min(next + batchRequests, requests.keys.count)]
        for key in batch { connection.writeGet(key, requests, dialect) }
        try connection.send()
        var missed: [UInt32] = []
        for (place, key) in batch.enumerated() {
            let isHit = try connection.readValue(dialect)
            if !isHit { missed.append(key) }
            if next + place >= requests.mix.warmUpRequests {
                outcome.count(isHit: isHit, bytes: requests.valueBytes(key))
            }
        }
        for key in missed { connection.writeSet(key, requests, dialect) }
        try connection.send()
        for _ in missed where try !connection.readStored(dialect) { outcome.refusals += 1 }
        next = batch.endIndex
        pace.wait(until: next)
    }
    return outcome
}

/// Holds a run back to the mix's clock, since a server's clock can't be set.
private struct Pace {
    private let isOn: Bool
    private let start: UInt64

    init(isOn: Bool) {
        self.isOn = isOn
        start = Self.now()
    }

    private static func now() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000 + UInt64(time.tv_nsec) / 1000
    }

    mutating func wait(until request: Int) {
        guard isOn else { return }
        let due = start + UInt64(request * Mix.microsecondsPerRequest)
        let now = Self.now()
        // Short sleeps are rounded up: they are saved up until they are worth it.
        if due > now + 1000 { usleep(UInt32(due - now)) }
    }
}
