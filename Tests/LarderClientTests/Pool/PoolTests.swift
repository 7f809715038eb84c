import LarderTesting
import Synchronization
import Testing

@testable import LarderClient

/// What a pool of the tests lends; the workshop counts.
private final class Tool: Poolable {
    let number: Int
    private let workshop: Workshop
    private let state = Mutex((isBroken: false, isLent: false))

    init(_ number: Int, _ workshop: Workshop) {
        self.number = number
        self.workshop = workshop
    }

    var isBroken: Bool { state.withLock { $0.isBroken } }
    func damage() { state.withLock { $0.isBroken = true } }
    func close() async { workshop.closed() }

    /// Whether nobody else has it.
    func pickUp() -> Bool {
        state.withLock { state in
            defer { state.isLent = true }
            return !state.isLent
        }
    }
    func putDown() { state.withLock { $0.isLent = false } }
}

private final class Order: Sendable {
    private let state = Mutex<[Int]>([])
    var numbers: [Int] { state.withLock { $0 } }
    func append(_ number: Int) { state.withLock { $0.append(number) } }
}

private struct Strike: Error {}

private final class Workshop: Sendable {
    private let state = Mutex((made: 0, open: 0, most: 0, isOnStrike: false))

    var made: Int { state.withLock { $0.made } }
    var open: Int { state.withLock { $0.open } }
    var most: Int { state.withLock { $0.most } }
    var isOnStrike: Bool {
        get { state.withLock { $0.isOnStrike } }
        set { state.withLock { $0.isOnStrike = newValue } }
    }

    func make() throws -> Tool {
        try state.withLock { state in
            if state.isOnStrike { throw Strike() }
            state.made += 1
            state.open += 1
            state.most = max(state.most, state.open)
            return Tool(state.made, self)
        }
    }

    func closed() { state.withLock { $0.open -= 1 } }
}

@Suite(.timeLimit(.minutes(1))) struct PoolTests {
    @Test func anEagerPoolOpensAllAtOnceAndNeverMore() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 10) { try workshop.make() }
        #expect(workshop.made == 10 && pool.freeCount == 10)
        await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    try await pool.withConnection { tool in
                        #expect(tool.pickUp())
                        await Task.yield()
                        tool.putDown()
                    }
                }
            }
        }
        #expect(workshop.made == 10 && pool.freeCount == 10)
        await pool.close()
        #expect(workshop.open == 0)
        await #expect(throws: MemcacheError.self) { _ = try await pool.acquire() }
    }

    @Test func aLazyPoolOpensWhatIsNeeded() async throws {
        let workshop = Workshop()
        let pool = LazyPool(size: 10) { try workshop.make() }
        #expect(workshop.made == 0)
        for _ in 0..<5 { try await pool.withConnection { #expect($0.number == 1) } }
        let first = try await pool.acquire()
        let second = try await pool.acquire()
        #expect(workshop.made == 2)
        first.resource.damage()
        first.giveBack()
        second.giveBack()
        await until { pool.freeCount == 10 }
        // Not the room that the broken one left: the one that works.
        try await pool.withConnection { #expect($0.number == 2) }
        #expect(workshop.made == 2 && workshop.open == 1)
    }

    @Test func theEleventhWaitsAndGetsWhatIsFreed() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 10) { try workshop.make() }
        let isOver = Shared(false)
        let nine = (0..<9).map { _ in
            Task { try await pool.withConnection { _ in await until { isOver.value } } }
        }
        await until { pool.freeCount == 1 }
        let tenth = try await pool.acquire()
        let number = tenth.resource.number
        let eleventh = Task { try await pool.withConnection { $0.number } }
        await until { pool.waiterCount == 1 }
        tenth.giveBack()
        #expect(try await eleventh.value == number)
        isOver.change { $0 = true }
        for task in nine { try await task.value }
    }

    /// Once for each that was lent, whatever the borrower does: a pool of ten never has eleven.
    @Test func whatIsForgottenComesBackOnce() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 10) { try workshop.make() }
        func forget() async throws { _ = try await pool.acquire() }
        func drop(early: Bool) async throws {
            let borrowed = try await pool.acquire()
            #expect(pool.freeCount == 9)
            if early { return borrowed.giveBack() }
            #expect(borrowed.resource.number > 0)
        }
        for _ in 0..<20 {
            try await forget()
            try await drop(early: true)
            try await drop(early: false)
            #expect(pool.freeCount == 10)
        }
        try await pool.withConnection { _ in #expect(pool.freeCount == 9) }
        #expect(pool.freeCount == 10 && workshop.made == 10)
        await pool.close()
        #expect(workshop.open == 0)
    }

    /// The value that a pool of one's own lends is given back once.
    @Test func aPoolOfOnesOwn() async throws {
        struct Box: ResourcePool {
            let returned = Shared<[Int]>([])
            func acquire() async throws -> Borrowed<Int> {
                Borrowed(5) { [returned] number in returned.change { $0.append(number) } }
            }
            func close() async {}
        }
        let box = Box()
        #expect(try await Pooled(box).withConnection { $0 } == 5)
        let borrowed = try await box.acquire()
        #expect(box.returned.value == [5])
        borrowed.giveBack()
        #expect(box.returned.value == [5, 5])
    }

    @Test func waitersAreServedInTheOrderOfTheirArrival() async throws {
        let pool = try await EagerPool(size: 1) { try Workshop().make() }
        let tool = try await pool.acquire()
        let order = Order()
        var tasks: [Task<Void, any Error>] = []
        for number in 0..<50 {
            tasks.append(
                Task {
                    try await pool.withConnection { _ in order.append(number) }
                })
            await until { pool.waiterCount == number + 1 }
        }
        // Those who leave are passed over.
        for number in [0, 7, 20, 49] { tasks[number].cancel() }
        await until { pool.waiterCount == 46 }
        tool.giveBack()
        for task in tasks { _ = await task.result }
        #expect(order.numbers == (0..<50).filter { ![0, 7, 20, 49].contains($0) })
        #expect(pool.freeCount == 1)
    }

    @Test func aBodyThatThrowsGivesBack() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 1) { try workshop.make() }
        await #expect(throws: Strike.self) { try await pool.withConnection { _ in throw Strike() } }
        await #expect(throws: Strike.self) { try await Pooled(pool).withConnection { _ in throw Strike() } }
        #expect(pool.freeCount == 1)
    }

    @Test func aBodyThatIsCancelledGivesBack() async throws {
        let pool = try await EagerPool(size: 1) { try Workshop().make() }
        let task = Task {
            try await pool.withConnection { _ in
                // Nothing ever comes: only being cancelled ends it.
                for await _ in AsyncStream<Never>.makeStream().stream {}
                try Task.checkCancellation()
            }
        }
        await until { pool.freeCount == 0 }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        #expect(pool.freeCount == 1)
    }

    @Test func aBrokenOneIsReplacedWhenItComesBack() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 2) { try workshop.make() }
        try await pool.withConnection { $0.damage() }
        await until { pool.freeCount == 2 }
        #expect(workshop.made == 3 && workshop.open == 2 && workshop.most == 2)
        for _ in 0..<4 { try await pool.withConnection { #expect(!$0.isBroken) } }
    }

    @Test func aBrokenOneIsReplacedBeforeItIsLent() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 1) { try workshop.make() }
        let borrowed = try await pool.acquire()
        let tool = borrowed.resource
        borrowed.giveBack()
        tool.damage()
        try await pool.withConnection { #expect($0.number == 2) }
        #expect(workshop.open == 1 && workshop.most == 1)
    }

    @Test func whatCannotBeReplacedIsAnErrorAndItsPlaceStays() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 1) { try workshop.make() }
        let tool = try await pool.acquire()
        let waiters = (0..<3).map { _ in Task { try await pool.withConnection { $0.number } } }
        await until { pool.waiterCount == 3 }
        workshop.isOnStrike = true
        tool.resource.damage()
        tool.giveBack()
        // None waits for ever: each tries for itself.
        for waiter in waiters { await #expect(throws: Strike.self) { try await waiter.value } }
        workshop.isOnStrike = false
        #expect(try await pool.withConnection { $0.number } == 2)
        #expect(workshop.open == 1)
    }

    @Test func apoolThatCannotOpenAllKeepsNone() async throws {
        let workshop = Workshop()
        let count = Mutex(0)
        await #expect(throws: Strike.self) {
            _ = try await EagerPool(size: 10) {
                guard
                    count.withLock({
                        $0 += 1
                        return $0
                    }) < 7
                else { throw Strike() }
                return try workshop.make()
            }
        }
        #expect(workshop.open == 0)
    }

    @Test func whatIsLentWhenThePoolClosesIsClosedWhenItComesBack() async throws {
        let workshop = Workshop()
        let pool = try await EagerPool(size: 2) { try workshop.make() }
        let first = try await pool.acquire()
        let second = try await pool.acquire()
        let waiter = Task { try await pool.withConnection { _ in } }
        await until { pool.waiterCount == 1 }
        await pool.close()
        await #expect(throws: MemcacheError.self) { try await waiter.value }
        #expect(workshop.open == 2)
        second.resource.damage()
        first.giveBack()
        second.giveBack()
        await until { workshop.open == 0 }
    }

    /// Borrowers that come, break things and are cancelled at random: in the end every place is there.
    @Test(arguments: 0..<4) func nothingIsLost(round: Int) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let workshop = Workshop()
        let pool = try await EagerPool(size: 5) { try workshop.make() }
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<20 {
                group.addTask {
                    var random = SeededRandom(seed: seed &+ UInt64(worker))
                    for _ in 0..<100 {
                        let yields = Int.random(in: 0..<5, using: &random)
                        let breaks = random.chance(1, in: 10)
                        let task = Task {
                            try await pool.withConnection { tool in
                                #expect(tool.pickUp() && !tool.isBroken, "seed \(seed)")
                                defer { tool.putDown() }
                                for _ in 0..<yields { await Task.yield() }
                                if breaks { tool.damage() }
                                try Task.checkCancellation()
                            }
                        }
                        if random.chance(1, in: 2) {
                            for _ in 0..<Int.random(in: 0..<10, using: &random) { await Task.yield() }
                            task.cancel()
                        }
                        _ = await task.result
                    }
                }
            }
        }
        await until { pool.freeCount == 5 }
        #expect(pool.waiterCount == 0 && workshop.most == 5 && workshop.open == 5, "seed \(seed)")
    }
}

@Suite(.timeLimit(.minutes(1))) struct PooledConnectionTests {
    @Test func anEagerPoolOfConnections() async throws {
        let server = try TestServer()
        let pool = try await EagerPool(size: 10, to: server.address, configuration: server.configuration)
        #expect(try server.connectionCount() == 10)
        let stored = try await Pooled(pool) { connection in
            try await connection.store(.set, [NewItem(key: "a", bytes: [1])], expiration: .never)
        }
        #expect(stored == [])
        #expect(try await Pooled(pool).items(for: ["a"])["a"]?.bytes == [1])
        // A connection that was lost is not lent.
        let lost = try await pool.acquire()
        await lost.resource.close()
        lost.giveBack()
        await until { pool.freeCount == 10 }
        for _ in 0..<10 { try await pool.withConnection { try await $0.ping() } }
        // The server notices in its own time that one has gone.
        try await until { try server.connectionCount() == 10 }
        await pool.close()
    }

    @Test func aPoolWithoutAServerIsAnErrorOrAMiss() async throws {
        let nowhere = ServerAddress.unixSocket(path: "/nonexistent/larder.sock")
        await #expect(throws: MemcacheError.self) { try await EagerPool(size: 2, to: nowhere) }
        var configuration = ConnectionConfiguration()
        configuration.onFailure = .miss
        let pool = try await EagerPool(size: 2, to: nowhere, configuration: configuration)
        for _ in 0..<5 { #expect(try await Pooled(pool).items(for: ["a"]).isEmpty) }
        #expect(
            try await Pooled(pool).store(.set, [NewItem(key: "a", bytes: [])], expiration: .never) == ["a"])
    }
}
