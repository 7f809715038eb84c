/// Points on a ring of 32-bit numbers; a key belongs to the server of the next point at or after its own.
struct KetamaRing: Sendable {
    private struct Point {
        let value: UInt32
        let member: Int
    }

    private static let points = 100
    private static let weightedPoints = 160
    /// Where a port is not part of a server's name.
    private static let usualPort = 11211

    private let points: [Point]
    private let keyHash: KeyHash

    /// - Parameter isWeighted: whether the weights count, and MD5 gives four points at a time.
    init(_ members: [GroupMember], isWeighted: Bool, keyHash: KeyHash) {
        var points: [Point] = []
        let totalWeight = members.reduce(UInt64(0)) { $0 &+ UInt64($1.weight) }
        for (index, member) in members.enumerated() where member.weight > 0 {
            let name = Self.name(of: member.address)
            if isWeighted {
                let quarter = Self.quarterCount(member.weight, of: totalWeight, memberCount: members.count)
                for number in 0..<quarter {
                    for value in KeyHash.md5Words(Array("\(name)-\(number)".utf8)) {
                        points.append(Point(value: value, member: index))
                    }
                }
            } else {
                for number in 0..<Self.points {
                    let value = keyHash.value(of: "\(name)-\(number)".utf8)
                    points.append(Point(value: value, member: index))
                }
            }
        }
        points.sort { ($0.value, $0.member) < ($1.value, $1.member) }
        self.points = points
        self.keyHash = keyHash
    }

    /// libmemcached's sum, in its order and precision: another rounding would move points.
    private static func quarterCount(_ weight: UInt32, of total: UInt64, memberCount: Int) -> Int {
        let share = Float(weight) / Float(total)
        let count = share * Float(weightedPoints) / 4 * Float(memberCount) + 0.000_000_000_1
        return Int(count.rounded(.down))
    }

    private static func name(of address: ServerAddress) -> String {
        switch address {
        case .host(let name, usualPort): name
        case .host(let name, let port): "\(name):\(port)"
        case .unixSocket(let path): "\(path):0"
        }
    }

    /// The member that has the key, or the next one on the ring that is usable.
    func member(for key: String, where isUsable: (Int) -> Bool) -> Int? {
        guard !points.isEmpty else { return nil }
        let hash = keyHash.value(of: key.utf8)
        var low = 0
        var high = points.count
        while low < high {
            let middle = low + (high - low) / 2
            if points[middle].value < hash { low = middle + 1 } else { high = middle }
        }
        var refused: Set<Int> = []
        for step in 0..<points.count {
            let member = points[(low + step) % points.count].member
            if refused.contains(member) { continue }
            if isUsable(member) { return member }
            refused.insert(member)
        }
        return nil
    }
}
