import Testing

@testable import LarderClient

/// The tables were taken from libmemcached 1.0.16, which pylibmc 1.6.3 carries: memcached_generate_hash for each key.
@Suite struct KetamaTests {
    private static let keys =
        ["a", "key-1", "user.42", "Zürich", "日本語", String(repeating: "x", count: 200)]
        + (0..<26).map { "k\($0)" }
    private static let equal = [
        GroupMember(.host("10.0.1.1")), GroupMember(.host("10.0.1.2")),
        GroupMember(.host("10.0.1.3", port: 11212)), GroupMember(.host("cache.example", port: 11213)),
    ]
    private static let weighted = zip(equal, [1, 5, 2, 3]).map { GroupMember($0.address, weight: $1) }
    private static let sockets = [
        GroupMember(.unixSocket(path: "/tmp/a.sock")), GroupMember(.unixSocket(path: "/tmp/b.sock")),
        GroupMember(.host("10.0.0.1")),
    ]

    @Test(arguments: [
        (equal, Distribution.ketama(), "32031130022100101133313131001100"),
        (equal, .ketama(hash: .md5), "20101132321001111031212111322313"),
        (equal, .ketamaWeighted, "22131013230321130012213101321233"),
        (weighted, .ketama(), "31112132030331313311111303332312"),
        (weighted, .ketama(hash: .md5), "22131013030321111011113101331113"),
        (weighted, .ketamaWeighted, "22131013030321111011113101331113"),
        (sockets, .ketama(), "12120200000020222001212020002121"),
        (sockets, .ketama(hash: .md5), "12022112200212200022002022100102"),
        (sockets, .ketamaWeighted, "12120100122122021002022202221120"),
    ])
    func asLibmemcached(members: [GroupMember], distribution: Distribution, table: String) {
        let router = GroupRouter(members, distribution)
        let places = Self.keys.map { router.member(for: $0).map(String.init) ?? "-" }
        #expect(places.joined() == table)
    }

    /// pymemcache 4.0.0: RendezvousHash of "host:port".
    @Test func rendezvousAsPymemcache() {
        let router = GroupRouter(
            Self.equal.map { GroupMember($0.address) }, .rendezvous)
        let keys = Self.keys.filter { $0.utf8.allSatisfy { $0 < 0x80 } }
        let places = keys.map { router.member(for: $0).map(String.init) ?? "-" }
        #expect(places.joined() == "321021331232011303021131303223")
    }

    @Test(arguments: [Distribution.ketama(), .ketamaWeighted, .rendezvous, .jump])
    func whoIsOutLosesItsKeysToOthersAndNobodyElseDoes(distribution: Distribution) {
        let router = GroupRouter(Self.equal, distribution)
        for number in 0..<1000 {
            let key = "key \(number)"
            let usual = router.member(for: key)
            let without2 = router.member(for: key) { $0 != 2 }
            #expect(without2 != 2 && without2 != nil)
            if usual != 2 { #expect(without2 == usual) }
            #expect(router.member(for: key) { _ in false } == nil)
        }
    }

    @Test(arguments: [Distribution.ketamaWeighted, .rendezvous])
    func weightsCount(distribution: Distribution) {
        let router = GroupRouter(Self.weighted, distribution)
        var counts = [0, 0, 0, 0]
        for number in 0..<11_000 { counts[router.member(for: "user:\(number)") ?? 0] += 1 }
        // 1, 5, 2 and 3 of 11, and what a ring of few points makes of it.
        for (count, share) in zip(counts, [1000.0, 5000, 2000, 3000]) {
            #expect((0.75...1.3).contains(Double(count) / share), "\(counts)")
        }
    }

    @Test(arguments: [Distribution.ketama(), .ketamaWeighted, .rendezvous])
    func nobodyHasKeysOfAGroupWithoutMembers(distribution: Distribution) {
        #expect(GroupRouter([], distribution).member(for: "a") == nil)
        let weightless = [GroupMember(.host("a"), weight: 0)]
        #expect(GroupRouter(weightless, distribution).member(for: "a") == nil)
        let one = [GroupMember(.host("a"), weight: 0), GroupMember(.host("b"), weight: 7)]
        #expect(GroupRouter(one, distribution).member(for: "a") == 1)
    }
}
