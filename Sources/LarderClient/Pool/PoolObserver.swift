import Metrics

/// Measures a pool of connections to a server, with OpenTelemetry's names for pools of database clients.
struct PoolObserver: Sendable {
    private let idle: Gauge
    private let used: Gauge
    private let pending: Gauge
    private let waitDuration: Metrics.Timer

    init(_ address: ServerAddress, _ configuration: ConnectionConfiguration) {
        let factory = configuration.metricsFactory ?? MetricsSystem.factory
        let attributes =
            RequestObserver.serverAttributes(address)
            + [("db.client.connection.pool.name", "\(address)")]
        func count(_ state: String) -> Gauge {
            Gauge(
                label: "db.client.connection.count",
                dimensions: attributes + [("db.client.connection.state", state)], factory: factory)
        }
        idle = count("idle")
        used = count("used")
        pending = Gauge(
            label: "db.client.connection.pending_requests", dimensions: attributes, factory: factory)
        waitDuration = Metrics.Timer(
            label: "db.client.connection.wait_time", dimensions: attributes, factory: factory)
    }

    /// - Parameter usage: how many resources are free and open, how many are lent, and how many borrowers wait.
    func changed(_ usage: PoolUsage) {
        idle.record(usage.idleCount)
        used.record(usage.usedCount)
        pending.record(usage.waiterCount)
    }

    /// A borrower was served after so long.
    func lent(after duration: Duration) { waitDuration.record(duration: duration) }
}

/// How a pool stands.
struct PoolUsage: Sendable, Hashable {
    var idleCount: Int
    var usedCount: Int
    var waiterCount: Int
}
