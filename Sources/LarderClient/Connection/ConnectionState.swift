/// Where a connection stands, and what waits for it to open.
struct ConnectionState {
    enum Phase {
        case unconnected(isLost: Bool)
        case connecting
        case open(Link)
        case closed
    }

    /// What is to be done about a request.
    enum Step {
        case send(Link)
        case wait
        case open(ReconnectGate.Attempt)
        /// The server is left alone.
        case leave
        case refuse
    }

    private(set) var phase = Phase.unconnected(isLost: false)
    /// Beside the phase, and not in it: there it would be copied for each request that comes.
    private(set) var waiting: [PendingBatch] = []

    mutating func submit(_ batch: PendingBatch, _ gate: ReconnectGate) -> Step {
        switch phase {
        case .open(let link): return .send(link)
        case .connecting:
            waiting.append(batch)
            return .wait
        case .unconnected:
            guard let attempt = gate.begin() else { return .leave }
            phase = .connecting
            waiting = [batch]
            return .open(attempt)
        case .closed: return .refuse
        }
    }

    /// - Returns: what has waited for it; nil when it is not wanted any more.
    mutating func opened(_ link: Link) -> [PendingBatch]? {
        guard case .connecting = phase else { return nil }
        phase = .open(link)
        return takeWaiting()
    }

    /// - Returns: what has waited for it.
    mutating func couldNotOpen() -> [PendingBatch] {
        guard case .connecting = phase else { return [] }
        phase = .unconnected(isLost: true)
        return takeWaiting()
    }

    mutating func ended(isLost: Bool) {
        if case .open = phase { phase = .unconnected(isLost: isLost) }
    }

    /// - Returns: the link that is open, and what has waited for one.
    mutating func close() -> (Link?, [PendingBatch]) {
        defer { phase = .closed }
        if case .open(let link) = phase { return (link, []) }
        return (nil, takeWaiting())
    }

    private mutating func takeWaiting() -> [PendingBatch] {
        defer { waiting = [] }
        return waiting
    }
}
