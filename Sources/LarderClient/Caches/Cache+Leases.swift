/// Leases by `add`, for caches that have no others.
extension Cache {
    /// What stands before a key in the name of its marker, as in wheezy.caching.
    public static var markerPrefix: String { "one_pass:" }

    /// Of all who add the marker one succeeds. What was deleted or stored while a value was made is not noticed.
    public func lease(
        _ key: String, duration: Duration, namespace: String?
    ) async throws(CacheError) -> Lease<EncodedValue> {
        if let value = try await values(of: [key], namespace: namespace)[key] { return .found(value) }
        let ticket = LeaseTicket(.random(in: .min ... .max))
        let marker = Self.markerPrefix + key
        let expiration = Expiration.after(max(duration, .seconds(1)))
        guard try await add(marker, ticket.number, expiration: expiration, namespace: namespace) else {
            return .lost
        }
        // The one before may have come to its end between the two.
        if let value = try await values(of: [key], namespace: namespace)[key] {
            try await delete(marker, namespace: namespace)
            return .found(value)
        }
        return .won(ticket)
    }

    /// Stores the value while the marker is still this lease's.
    public func fulfil(
        _ ticket: LeaseTicket, _ key: String, _ value: EncodedValue, expiration: Expiration,
        namespace: String?
    ) async throws(CacheError) -> Bool {
        guard try await owns(ticket, key, namespace) else { return false }
        let failed = try await store(.set, [key: value], expiration: expiration, namespace: namespace)
        try await delete(Self.markerPrefix + key, namespace: namespace)
        return failed.isEmpty
    }

    /// Removes the marker while it is this lease's.
    public func abandon(_ ticket: LeaseTicket, _ key: String, namespace: String?) async throws(CacheError) {
        guard try await owns(ticket, key, namespace) else { return }
        try await delete(Self.markerPrefix + key, namespace: namespace)
    }

    private func owns(_ ticket: LeaseTicket, _ key: String, _ namespace: String?) async throws(CacheError)
        -> Bool
    {
        try await get(Self.markerPrefix + key, as: UInt64.self, namespace: namespace) == ticket.number
    }
}
