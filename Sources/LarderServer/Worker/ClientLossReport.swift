import CLarderSystem
import LarderStore
import LarderWire
import Synchronization

/// Tells the operator which clients the server refused or dropped, and why. A line at most once a minute, so that many
/// such clients do not fill the log. The main thread's.
struct ClientLossReport {
    private static let intervalMilliseconds: Int64 = 60_000

    private struct Losses: Equatable {
        var refused = 0
        var unread = 0
        var notLoggedIn = 0
        var memory = 0
        var stalled = 0
        var foreign = Array(repeating: 0, count: ForeignProtocol.allCases.count)

        init() {}

        init(_ state: ServerState) {
            refused = state.connectionLimit.rejected
            unread = state.unreadClosed.load(ordering: .relaxed)
            notLoggedIn = state.loginTimeouts.load(ordering: .relaxed)
            memory = state.droppedForMemory.load(ordering: .relaxed)
            stalled = state.droppedAsStalled.load(ordering: .relaxed)
            foreign = state.foreignConnections.withLock { $0 }
        }

        /// `stats reset` sets some of them back.
        func since(_ before: Losses) -> Losses {
            var losses = Losses()
            losses.refused = max(0, refused - before.refused)
            losses.unread = max(0, unread - before.unread)
            losses.notLoggedIn = max(0, notLoggedIn - before.notLoggedIn)
            losses.memory = max(0, memory - before.memory)
            losses.stalled = max(0, stalled - before.stalled)
            losses.foreign = zip(foreign, before.foreign).map { $0 - $1 }
            return losses
        }

        func reasons(connectionLimit: Int) -> [String] {
            var reasons: [String] = []
            if refused > 0 { reasons.append("\(refused) refused, as -c \(connectionLimit) are connected") }
            if memory > 0 { reasons.append("\(memory) dropped, as half-sent requests took too much memory") }
            if stalled > 0 { reasons.append("\(stalled) dropped, as a half-sent request stood still for a minute") }
            if unread > 0 { reasons.append("\(unread) dropped, as they did not read their answers") }
            if notLoggedIn > 0 { reasons.append("\(notLoggedIn) dropped, as they did not log in") }
            for kind in ForeignProtocol.allCases where foreign[Int(kind.rawValue)] > 0 {
                reasons.append(
                    "\(foreign[Int(kind.rawValue)]) closed, as they spoke \(kind.name), not memcached's protocol")
            }
            return reasons
        }
    }

    private var reported = Losses()
    private var nextMilliseconds: Int64 = 0

    /// Writes a line if clients were lost since the last one, and that is a minute ago. Call it once a second.
    mutating func report(_ state: ServerState) {
        let losses = Losses(state)
        guard losses != reported, larder_milliseconds(false) >= nextMilliseconds else { return }
        let reasons = losses.since(reported).reasons(connectionLimit: state.connectionLimit.maximum)
        reported = losses
        guard !reasons.isEmpty else { return }
        nextMilliseconds = larder_milliseconds(false) + Self.intervalMilliseconds
        StandardError.write("larder: clients: " + reasons.joined(separator: "; "), .warning)
    }

    /// The last line: what the server stops with.
    ///
    /// - Parameter clientCount: clients that were connected when the stop began.
    mutating func reportEnd(_ state: ServerState, clientCount: Int) {
        nextMilliseconds = 0
        report(state)
        let kept = state.caches.compactMap { cache in
            cache.store.fileStatistics.map { "\(cache.name) is kept in \($0.path)" }
        }
        StandardError.write(
            "larder: stopped; clients connected at the signal: \(clientCount)"
                + (kept.isEmpty ? "" : "; cache " + kept.joined(separator: ", cache ")))
    }
}

extension ForeignProtocol {
    /// What people call it.
    fileprivate var name: String {
        switch self {
        case .uwsgi: "uwsgi"
        case .http: "HTTP"
        case .tls: "TLS"
        case .redis: "Redis's protocol"
        case .ssh: "SSH"
        case .proxy: "the PROXY protocol"
        }
    }
}
