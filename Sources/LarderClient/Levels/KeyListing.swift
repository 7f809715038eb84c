/// Servers that tell which keys they have.
public protocol KeyListing: Sendable {
    /// The keys that begin so, in no order. What comes or goes meanwhile may be missing; what is there all the time
    /// is not.
    ///
    /// The servers go through all that they hold for this.
    func keys(withPrefix prefix: String) async throws -> [String]
}

extension MemcacheConnection: KeyListing {
    /// By `lru_crawler metadump`, which the server has to allow, over a connection of its own, since it is answered
    /// by as many lines as there are keys, and by some servers only when nothing is asked for before it.
    ///
    /// What is there all the time is listed, except by a memcached older than 1.6.9: it goes by its lists of what was
    /// used when, and may miss a key that moves between two of them meanwhile.
    ///
    /// It throws also where failures are misses: no key is not the same as not knowing which.
    public func keys(withPrefix prefix: String) async throws -> [String] {
        try await observer.observing(.keys) {
            try await KeyListRequest(address, configuration).keys(withPrefix: prefix)
        }
    }
}

extension Pooled: KeyListing where Pool.Resource: KeyListing {
    public func keys(withPrefix prefix: String) async throws -> [String] {
        try await withConnection { try await $0.keys(withPrefix: prefix) }
    }
}

extension ServerGroup: KeyListing {
    /// One server after another.
    public func keys(withPrefix prefix: String) async throws -> [String] {
        var found: Set<String> = []
        for server in servers {
            let keys = try await server.ask(server.visit) { one in
                guard let one = one as? any KeyListing else {
                    throw MemcacheError(.clientError, "\(server.address) is reached by what cannot list keys")
                }
                return try await one.keys(withPrefix: prefix)
            }
            found.formUnion(keys)
        }
        return Array(found)
    }
}
