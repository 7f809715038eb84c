import Testing

@testable import LarderClient

@Suite struct KeyTurnsTests {
    private let turns = KeyTurns()

    /// Holds a scope until it is let go.
    private func hold(
        _ scope: KeyTurns.Scope, _ isHeld: Shared<Bool>, _ log: Shared<[String]>, _ name: String
    ) -> Task<Void, any Error> {
        Task {
            try await turns.pass(scope) { () async throws(CacheError) in
                log.change { $0.append(name) }
                while isHeld.value { await Task.yield() }
            }
        }
    }

    @Test func oneKeyOneAtATimeAndAllKeysAlone() async throws {
        let log = Shared<[String]>([])
        let held = Shared(true)
        let first = hold(.key("a"), held, log, "a1")
        await until { log.value == ["a1"] }
        let second = hold(.key("a"), Shared(false), log, "a2")
        // Another key passes the two.
        try await turns.pass(.key("b")) { () async throws(CacheError) in log.change { $0.append("b") } }
        let all = hold(.everything, Shared(false), log, "all")
        #expect(log.value == ["a1", "b"])
        held.change { $0 = false }
        for task in [first, second, all] { try await task.value }
        #expect(Set(log.value) == ["a1", "b", "a2", "all"])
        try await turns.pass(.everything) { () async throws(CacheError) in }
    }

    @Test func whoIsCancelledLeavesAndHoldsNobodyUp() async throws {
        let log = Shared<[String]>([])
        let held = Shared(true)
        let first = hold(.key("a"), held, log, "a")
        await until { log.value == ["a"] }
        let all = hold(.everything, Shared(false), log, "all")
        // Either it waits already, or it finds that it is cancelled.
        all.cancel()
        let error = await #expect(throws: CacheError.self) { try await all.value }
        #expect(error?.code == .cancelled)
        try await turns.pass(.key("b")) { () async throws(CacheError) in log.change { $0.append("b") } }
        held.change { $0 = false }
        try await first.value
        #expect(log.value == ["a", "b"])
    }

    @Test func neverTwoAtOnce() async throws {
        let inside = Shared<[String: Int]>([:])
        let worst = Shared(0)
        try await withThrowingTaskGroup { group in
            for number in 0..<200 {
                let key = number % 20 == 0 ? nil : "k\(number % 5)"
                group.addTask {
                    for _ in 0..<20 {
                        try await turns.pass(key.map { .key($0) } ?? .everything) {
                            () async throws(CacheError) in
                            let count = inside.change { state in
                                state[key ?? "all", default: 0] += 1
                                return key == nil || state["all", default: 0] > 0
                                    ? state.values.reduce(0, +) : state[key ?? "", default: 0]
                            }
                            worst.change { $0 = max($0, count) }
                            await Task.yield()
                            inside.change { $0[key ?? "all", default: 0] -= 1 }
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(worst.value == 1)
    }
}
