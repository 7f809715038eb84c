/// A server of a group, and how much of the keys it takes.
public struct GroupMember: Sendable, Hashable {
    /// Where it listens. The name counts: `localhost` and `127.0.0.1` have other keys.
    public var address: ServerAddress
    /// Its share in proportion to the others'; a member without weight has no keys.
    public var weight: UInt32

    /// A server with its share of the keys.
    public init(_ address: ServerAddress, weight: UInt32 = 1) {
        self.address = address
        self.weight = weight
    }
}

/// Which server has which keys.
public enum Distribution: Sendable, Hashable {
    /// libmemcached's consistent hashing, which pylibmc calls `ketama`: 100 points for each server, hashed like the
    /// keys. As there, it is the weighted ring when any weight is more than 1.
    case ketama(hash: KeyHash = .oneAtATime)
    /// libmemcached's weighted ring, which pylibmc calls `ketama_weighted`: some 160 points for each server, and MD5.
    case ketamaWeighted
    /// Each server has a number for each key, and the highest has it: pymemcache's way, with weights.
    case rendezvous
    /// Jump consistent hashing: no table, and evenly spread. The servers count in their order: only the last one can go,
    /// and one only come behind it, without moving more keys than need be.
    case jump
}
