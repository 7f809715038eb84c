import Glibc

/// Highest random weight: a member that goes takes only its own keys along.
struct RendezvousTable: Sendable {
    private let members: [(prefix: [UInt8], name: String, weight: Double)]

    init(_ members: [GroupMember]) {
        self.members = members.map { member in
            let name = member.address.description
            return (Array("\(name)-".utf8), name, Double(member.weight))
        }
    }

    /// The usable member with the highest number for the key.
    func member(for key: String, where isUsable: (Int) -> Bool) -> Int? {
        let ranked = members.indices.filter { members[$0].weight > 0 }
            .map { (index: $0, score: score($0, key)) }
            .sorted { ($0.score, members[$0.index].name) > ($1.score, members[$1.index].name) }
        return ranked.first { isUsable($0.index) }?.index
    }

    /// The hash as a number between 0 and 1, to the power of 1 / weight (as its logarithm, which keeps the order).
    private func score(_ index: Int, _ key: String) -> Double {
        let hash = MurmurHash.value(of: members[index].prefix + Array(key.utf8))
        return log((Double(hash) + 0.5) / 4_294_967_296) / members[index].weight
    }
}
