/// Jump consistent hashing (Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014) over as many
/// places as the members' weights make together.
struct JumpTable: Sendable {
    /// Where each member's places end.
    private let ends: [Int64]

    /// How often another place is drawn for a key whose member cannot be used, for each member.
    private static let drawsPerMember = 4

    init(_ members: [GroupMember]) {
        var count: Int64 = 0
        // No sum of 32-bit weights that fits into memory is beyond 64 bits.
        ends = members.map { member in
            count += Int64(member.weight)
            return count
        }
    }

    /// The member that has the key, or another that is usable, drawn anew for each key.
    func member(for key: String, where isUsable: (Int) -> Bool) -> Int? {
        guard let count = ends.last, count > 0 else { return nil }
        var refused: Set<Int> = []
        for draw in 0..<Self.drawsPerMember * ends.count {
            let member = owner(of: Self.place(of: draw == 0 ? key : "\(key)-\(draw)", among: count))
            if refused.contains(member) { continue }
            if isUsable(member) { return member }
            refused.insert(member)
        }
        return ends.indices.first { hasPlaces($0) && !refused.contains($0) && isUsable($0) }
    }

    private func hasPlaces(_ member: Int) -> Bool {
        ends[member] > (member == 0 ? 0 : ends[member - 1])
    }

    private func owner(of place: Int64) -> Int {
        var low = 0
        var high = ends.count - 1
        while low < high {
            let middle = low + (high - low) / 2
            if ends[middle] <= place { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The paper's function, of the first eight bytes of the key's MD5.
    static func place(of key: String, among count: Int64) -> Int64 {
        let words = KeyHash.md5Words(Array(key.utf8))
        var hash = UInt64(words[1]) << 32 | UInt64(words[0])
        var place: Int64 = 0
        var next: Int64 = 0
        while next < count {
            place = next
            hash = hash &* 2_862_933_555_777_941_757 &+ 1
            let jump = Double(place + 1) * (2_147_483_648 / Double((hash >> 33) + 1))
            // Beyond all places, and perhaps beyond 64 bits.
            guard jump < Double(count) else { break }
            next = Int64(jump)
        }
        return place
    }
}
