/// Keeps a group's servers the same as a cluster's.
///
/// ```swift
/// let discovery = ClusterDiscovery(of: group, from: .host("cluster.example"))
/// try await discovery.refresh()
/// async let _ = discovery.run()
/// ```
public struct ClusterDiscovery: Sendable {
    private let group: ServerGroup
    private let endpoint: MemcacheConnection
    private let prefersNames: Bool
    private let interval: Duration

    /// - Parameters:
    ///   - endpoint: a server of the cluster, or a name that always leads to one.
    ///   - prefersNames: takes the servers' names even where there are addresses, as certificates may want.
    ///   - interval: how long `run` waits before it asks again.
    public init(
        of group: ServerGroup, from endpoint: ServerAddress, prefersNames: Bool = false,
        interval: Duration = .seconds(60)
    ) {
        self.group = group
        self.prefersNames = prefersNames
        self.interval = interval
        var configuration = group.configuration
        configuration.dialect = .meta
        self.endpoint = MemcacheConnection(to: endpoint, configuration: configuration)
    }

    /// Asks once, and changes the group if the cluster has changed.
    ///
    /// - Returns: the cluster's version.
    @discardableResult
    public func refresh() async throws -> UInt64 {
        let cluster = try await endpoint.clusterConfiguration(prefersNames: prefersNames)
        // A cluster without servers is one that is being made anew: the old ones are the better guess.
        if !cluster.members.isEmpty, cluster.members != group.members { group.update(cluster.members) }
        return cluster.version
    }

    /// Asks again and again until the task is cancelled; what fails is logged.
    public func run() async {
        await DiscoveryLoop(interval: interval, logger: group.configuration.logger).run {
            try await refresh()
        }
    }
}
