import Foundation
import LarderTesting
import Synchronization
import Testing

@testable import LarderClient

@Suite struct CancellationTests {
    /// Requests that are cancelled at any moment, over a few connections that all share. `LARDER_CANCELLED_REQUESTS` is
    /// how many, 100,000 unless given, half of them in either dialect.
    @Test(.timeLimit(.minutes(30)), arguments: Dialect.allCases)
    func noAnswerReachesAnother(dialect: Dialect) async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        let total =
            (ProcessInfo.processInfo.environment["LARDER_CANCELLED_REQUESTS"].flatMap { Int($0) } ?? 100_000)
            / Dialect.allCases.count
        let server = try TestServer()
        let connections = (0..<4).map { _ in server.connection { $0.dialect = dialect } }
        let workerCount = 50
        let requestsEach = total / workerCount
        let answered = try await withThrowingTaskGroup(of: Int.self) { group in
            for worker in 0..<workerCount {
                let connection = connections[worker % connections.count]
                group.addTask {
                    var random = SeededRandom(seed: seed &+ UInt64(worker))
                    var answered = 0
                    for _ in 0..<requestsEach where try await Self.request(connection, &random) {
                        answered += 1
                    }
                    return answered
                }
            }
            return try await group.reduce(0, +)
        }
        let cancelled = requestsEach * workerCount - answered
        // Both must have happened, or nothing was tried.
        #expect(answered > total / 10 && cancelled > total / 10, "seed \(seed)")
        // Nobody's connection was given up.
        #expect(try server.connectionCount() == 4)
        print("cancelled requests, \(dialect): \(cancelled) of \(answered + cancelled), seed \(seed)")
    }

    /// - Returns: whether the answer came before the task was cancelled.
    private static func request(_ connection: MemcacheConnection, _ random: inout SeededRandom) async throws
        -> Bool
    {
        let keys = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            "key-\(Int.random(in: 0..<500, using: &random))"
        }
        let kind = Int.random(in: 0..<10, using: &random)
        let padding = Int.random(in: 0..<200, using: &random)
        let task = Task {
            switch kind {
            case 0..<4:
                _ = try await connection.store(
                    .set, keys.map { NewItem(key: $0, bytes: Self.value(of: $0, padding)) },
                    expiration: .never)
            case 4: _ = try await connection.delete(keys)
            case 5:
                let number = try await connection.add(
                    1, to: "n" + keys[0], initial: 1_000_000, expiration: .never)
                #expect(number ?? 0 >= 1_000_000)
            default:
                for (key, item) in try await connection.items(for: keys) {
                    #expect(keys.contains(key))
                    let mark = Array("\(key) ".utf8)
                    #expect(item.bytes.starts(with: mark), "a mix-up")
                }
            }
        }
        if random.chance(1, in: 2) {
            for _ in 0..<Int.random(in: 0..<4, using: &random) { await Task.yield() }
            task.cancel()
        }
        do {
            try await task.value
            return true
        } catch is CancellationError {
            return false
        }
    }

    private static func value(of key: String, _ padding: Int) -> [UInt8] {
        Array("\(key) ".utf8) + [UInt8](repeating: 0x2E, count: padding)
    }

    private static func patientConnection(to server: FakeServer, _ dialect: Dialect) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.dialect = dialect
        configuration.connectTimeout = .seconds(60)
        configuration.requestTimeout = .seconds(60)
        return MemcacheConnection(to: .unixSocket(path: server.path), configuration: configuration)
    }

    @Test(arguments: Dialect.allCases)
    func whoeverIsCancelledLeavesAtOnce(dialect: Dialect) async throws {
        let server = try FakeServer(speaking: dialect) { _ in .silence }
        let connection = Self.patientConnection(to: server, dialect)
        let asked = Task { try await connection.items(for: ["a"]) }
        await until { server.acceptedCount == 1 }
        asked.cancel()
        await #expect(throws: CancellationError.self) { try await asked.value }
        let late = Task {
            await until { Task.isCancelled }
            return try await connection.items(for: ["a"])
        }
        late.cancel()
        await #expect(throws: CancellationError.self) { try await late.value }
        await connection.close()
    }

    /// The answer to a request that was given up is for nobody, least of all for the next one.
    @Test(arguments: Dialect.allCases)
    func aLateAnswerIsDropped(dialect: Dialect) async throws {
        let held = Mutex<[FakeRequest]>([])
        let server = try FakeServer(speaking: dialect) { request in
            if request.line.contains("first") {
                held.withLock { $0.append(request) }
                return .silence
            }
            let first = held.withLock { $0.popLast() }?.found("first", "1") ?? []
            return .say(first + request.found("second", "2"))
        }
        let connection = Self.patientConnection(to: server, dialect)
        let first = Task { try await connection.items(for: ["first"]) }
        await until { held.withLock { !$0.isEmpty } }
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        #expect(try await connection.items(for: ["second"])["second"]?.bytes == [0x32])
        #expect(server.acceptedCount == 1)
    }
}
