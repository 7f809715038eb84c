/// Which member of a group has a key.
enum GroupRouter: Sendable {
    case ring(KetamaRing)
    case rendezvous(RendezvousTable)
    case jump(JumpTable)

    init(_ members: [GroupMember], _ distribution: Distribution) {
        switch distribution {
        case .ketama(let hash):
            let isWeighted = members.contains { $0.weight > 1 }
            self = .ring(KetamaRing(members, isWeighted: isWeighted, keyHash: hash))
        case .ketamaWeighted: self = .ring(KetamaRing(members, isWeighted: true, keyHash: .md5))
        case .rendezvous: self = .rendezvous(RendezvousTable(members))
        case .jump: self = .jump(JumpTable(members))
        }
    }

    func member(for key: String, where isUsable: (Int) -> Bool = { _ in true }) -> Int? {
        switch self {
        case .ring(let ring): ring.member(for: key, where: isUsable)
        case .rendezvous(let table): table.member(for: key, where: isUsable)
        case .jump(let table): table.member(for: key, where: isUsable)
        }
    }
}
