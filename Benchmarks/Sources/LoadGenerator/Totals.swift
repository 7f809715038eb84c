/// What a worker, or all of them, did.
struct Totals {
    var setLatency = LatencyHistogram()
    var getLatency = LatencyHistogram()
    /// Open loop: how late requests were sent on idle connections, which is the generator's own fault.
    var lateness = LatencyHistogram()
    var hits: UInt64 = 0
    var misses: UInt64 = 0
    /// Requests that the server answered with an error.
    var errors: UInt64 = 0
    var firstError: String?
    var reconnections: UInt64 = 0
    /// Open loop: requests that were due and had no answer when time was up.
    var unanswered: UInt64 = 0
    var bytesSent: UInt64 = 0
    var bytesReceived: UInt64 = 0
    var cpuNanoseconds: UInt64 = 0

    /// Commands answered.
    var requests: UInt64 { setLatency.count + getLatency.count }
    /// Keys stored or asked for: what the server did, however it was packed into commands.
    var operations: UInt64 { setLatency.count + hits + misses }

    var latency: LatencyHistogram {
        var all = setLatency
        all.add(getLatency)
        return all
    }

    mutating func add(_ other: Totals) {
        setLatency.add(other.setLatency)
        getLatency.add(other.getLatency)
        lateness.add(other.lateness)
        hits += other.hits
        misses += other.misses
        errors += other.errors
        firstError = firstError ?? other.firstError
        reconnections += other.reconnections
        unanswered += other.unanswered
        bytesSent += other.bytesSent
        bytesReceived += other.bytesReceived
        cpuNanoseconds += other.cpuNanoseconds
    }
}
