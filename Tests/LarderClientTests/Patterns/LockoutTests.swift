import LarderClient
import Testing

@Suite struct LockoutTests {
    private struct Request { var user: String, address: String }

    private let clock: TestClock
    private let servers: MapServers
    private let request = Request(user: "ann", address: "::1")

    init() {
        clock = TestClock()
        servers = MapServers(clock: clock)
    }

    private func byUser(_ count: UInt64, resets: Bool = true) -> LockoutCounter<Request> {
        LockoutCounter(
            key: { "user:" + $0.user }, count: count, period: .seconds(60), duration: .seconds(100),
            resets: resets)
    }

    private func byAddress(_ count: UInt64) -> LockoutCounter<Request> {
        LockoutCounter(
            key: { "ip:" + $0.address }, count: count, period: .seconds(60), duration: .seconds(10),
            resets: false)
    }

    private func signIn(_ counters: [LockoutCounter<Request>]) -> Lockout<Request> {
        Locker(RemoteCache(servers)).define("sign in", counters)
    }

    @Test func tooManyFailuresLock() async throws {
        let lockout = signIn([byUser(3)])
        for _ in 0..<2 {
            #expect(
                try await lockout.forbidLocked(request) { try await lockout.guarded(request) { false } }
                    == false)
        }
        #expect(servers.keys == ["c:sign_in:user:ann"])
        #expect(try await !lockout.isLocked(request))
        #expect(try await lockout.guarded(request) { false } == false)
        #expect(servers.keys == ["lock:c:sign_in:user:ann"])
        let error = await #expect(throws: LockedOut.self) { try await lockout.forbidLocked(request) { true } }
        #expect(error?.name == "sign in")
        #expect(try await lockout.forbidLocked(request, otherwise: { "no" }) { "yes" } == "no")
        // Not others.
        let other = Request(user: "bob", address: "::1")
        #expect(try await lockout.forbidLocked(other) { true })
        clock.advance(.seconds(101))
        #expect(try await lockout.forbidLocked(request) { true })
    }

    @Test func thePeriodBeginsWithTheFirst() async throws {
        let lockout = signIn([byUser(3)])
        try await lockout.incr(request)
        clock.advance(.seconds(40))
        try await lockout.incr(request)
        clock.advance(.seconds(21))
        try await lockout.incr(request)
        #expect(try await !lockout.isLocked(request))
        try await lockout.incr(request)
        try await lockout.incr(request)
        #expect(try await lockout.isLocked(request))
    }

    @Test func aSuccessForgetsWhatResets() async throws {
        let lockout = signIn([byUser(3), byAddress(3)])
        for _ in 0..<2 { _ = try await lockout.guarded(request) { false } }
        #expect(try await lockout.guarded(request) { true })
        #expect(servers.keys == ["c:sign_in:ip:::1"])
        _ = try await lockout.guarded(request) { false }
        // The third from this address, and the first of this user.
        #expect(servers.keys == ["c:sign_in:user:ann", "lock:c:sign_in:ip:::1"])
        #expect(try await lockout.isLocked(request))
        try await lockout.reset(request)
        #expect(try await lockout.isLocked(request))
        try await lockout.forceReset(request)
        #expect(servers.keys == [])
    }

    @Test func aQuotaCountsSuccesses() async throws {
        let lockout = signIn([byUser(2)])
        for _ in 0..<5 { _ = try await lockout.quota(request) { false } }
        #expect(try await lockout.quota(request) { true })
        #expect(try await !lockout.isLocked(request))
        #expect(try await lockout.quota(request) { true })
        #expect(try await lockout.isLocked(request))
    }

    @Test func anAlertIsRaisedOnce() async throws {
        let alerts = Alerts()
        let counter = LockoutCounter<Request>(
            key: { $0.user }, count: 2, period: .seconds(60), duration: .seconds(60),
            alert: { request, name, counter in await alerts.raise("\(name) \(request.user) \(counter.count)")
            })
        let lockout = signIn([counter])
        try await lockout.incr(request)
        #expect(await alerts.raised == [])
        try await lockout.incr(request)
        #expect(await alerts.raised == ["sign in ann 2"])
    }

    @Test func withoutTermsNothingIsLocked() async throws {
        for lockout in [signIn([]), NullLocker().define("sign in", [byUser(1)])] {
            for _ in 0..<3 { #expect(try await lockout.guarded(request) { false } == false) }
            #expect(try await lockout.forbidLocked(request) { true })
            try await lockout.forceReset(request)
        }
        #expect(servers.keys == [])
    }

    @Test func aCacheThatKeepsNothingLocksNothing() async throws {
        let lockout = Locker(NullCache()).define("sign in", [byUser(1)])
        try await lockout.incr(request)
        #expect(try await !lockout.isLocked(request))
    }

    /// A hundred at once, of whom as many are counted as there were.
    @Test func manyAtOnceAreAllCounted() async throws {
        let cache = RemoteCache(servers)
        let lockout = Locker(cache).define("sign in", [byUser(1000)])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { [request] in try await lockout.incr(request) } }
            try await group.waitForAll()
        }
        #expect(try await cache.get("c:sign_in:user:ann") == 100)
    }

    private actor Alerts {
        var raised: [String] = []
        func raise(_ text: String) { raised.append(text) }
    }
}
