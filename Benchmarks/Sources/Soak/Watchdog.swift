import Synchronization

/// Notices when clients get no answers.
struct Watchdog {
    let shared: Shared
    let patience: Moment
    private var upSince: Moment = 0

    init(_ shared: Shared, patienceSeconds: Int) {
        self.shared = shared
        patience = Moment(patienceSeconds) * 1000
    }

    /// The server has started, or started again.
    mutating func restart() { upSince = shared.now }

    /// A text about the clients that get no answers; nil if all are answered.
    func look() -> String? {
        let now = shared.now
        var latest = upSince
        var stalest = now
        var stalestClient = 0
        for (number, marker) in shared.lastAnswer.enumerated() where marker.isWaiting.load(ordering: .relaxed) {
            let answered = max(upSince, marker.answeredAt.load(ordering: .relaxed))
            latest = max(latest, answered)
            if answered < stalest { (stalest, stalestClient) = (answered, number) }
        }
        for marker in shared.lastAnswer { latest = max(latest, marker.answeredAt.load(ordering: .relaxed)) }
        if now > latest &+ patience { return "no client got an answer for \((now - latest) / 1000) s" }
        if now > stalest, now - stalest > patience * 3 {
            return "client \(stalestClient) got no answer for \((now - stalest) / 1000) s"
        }
        return nil
    }
}
