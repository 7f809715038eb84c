import Glibc
import LarderStore

/// Replays a mix on a store in this process: no server, no socket, and a clock of its own.
func runOnStore(_ requests: Requests, _ configuration: StoreConfiguration) throws -> Outcome {
    let store = try Store(configuration)
    let session = try store.makeSession()
    let key = UnsafeMutablePointer<UInt8>.allocate(capacity: Requests.keyBytes)
    let value = UnsafeMutablePointer<UInt8>.allocate(capacity: 1 << 20)
    value.initialize(repeating: 0x61, count: 1 << 20)
    defer {
        key.deallocate()
        value.deallocate()
    }
    var outcome = Outcome()
    var spent = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &spent)
    let start: Int64 = 1_700_000_000_000
    for (number, asked) in requests.keys.enumerated() {
        let now = start + Int64(number * Mix.microsecondsPerRequest / 1000)
        requests.writeKey(asked, to: key)
        let bytes = requests.valueBytes(asked)
        session.begin(now: now)
        let hashed = session.hashed(key, length: Requests.keyBytes)
        let found = session.find(hashed, now: now)
        if let found {
            session.markUsed(found, now: now)
        } else {
            let lifetime = requests.lifetimeSeconds(asked)
            let result = session.store(
                .set, hashed, value: value, valueLength: bytes, clientFlags: 0,
                expiry: lifetime == 0 ? Int64.max : now + Int64(lifetime) * 1000, now: now)
            if result.outcome != .stored { outcome.refusals += 1 }
        }
        session.end()
        if number >= requests.mix.warmUpRequests { outcome.count(isHit: found != nil, bytes: bytes) }
    }
    var end = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end)
    let nanoseconds = Double(end.tv_sec - spent.tv_sec) * 1e9 + Double(end.tv_nsec - spent.tv_nsec)
    outcome.nanosecondsPerRequest = nanoseconds / Double(max(1, requests.keys.count))
    let counters = store.statistics.counters
    outcome.movesPerStore = Double(counters.itemsMoved) / Double(max(1, counters.itemsStored))
    return outcome
}
