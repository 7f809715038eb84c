/// The answer to a request for a lease. Of all who ask for a key that has no value, one wins the right to make it.
public enum Lease<Value: Sendable>: Sendable {
    /// The key has this value.
    case found(Value)
    /// The caller is to make the value. It then stores the value with this ticket, or gives the ticket back.
    case won(LeaseTicket)
    /// Another caller is making the value: ask again in a while.
    case lost
}

extension Lease: Equatable where Value: Equatable {}
extension Lease: Hashable where Value: Hashable {}

/// Names one lease, to the cache or the servers that gave it.
public struct LeaseTicket: Sendable, Hashable {
    /// The number of the lease. Servers count leases with their writes: over them it is the cas to store the value with.
    public let number: UInt64

    /// Makes a ticket, for caches and servers of one's own.
    public init(_ number: UInt64) { self.number = number }
}
