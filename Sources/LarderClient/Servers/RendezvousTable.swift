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
        var left = members.indices.filter { members[$0].weight > 0 }
            .map { (index: $0, score: score($0, key)) }
        // The first one is usable nearly always: no need to sort the others.
        while let best = left.indices.max(by: { lower, higher in
            (left[lower].score, members[left[lower].index].name)
                < (left[higher].score, members[left[higher].index].name)
        }) {
            let index = left.remove(at: best).index
            if isUsable(index) { return index }
        }
        return nil
    }

    /// The hash as a number between 0 and 1, to the power of 1 / weight (as its logarithm, which keeps the order).
    private func score(_ index: Int, _ key: String) -> Double {
        let hash = MurmurHash.value(of: members[index].prefix + Array(key.utf8))
        return log((Double(hash) + 0.5) / 4_294_967_296) / members[index].weight
    }
}
