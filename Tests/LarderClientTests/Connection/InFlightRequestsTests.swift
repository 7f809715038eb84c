import NIOCore
import Testing

@testable import LarderClient

@Suite(.timeLimit(.minutes(1))) struct InFlightRequestsTests {
    private func batch(_ keys: [String]) throws -> PendingBatch {
        var encoder = MetaRequestEncoder(firstOpaque: 0, commandCount: keys.count)
        for key in keys { try encoder.get(key) }
        return PendingBatch(encoder)
    }

    private func answer(_ opaque: Int) -> Answer {
        var answer = Answer(.miss)
        answer.opaque = UInt64(opaque)
        return answer
    }

    /// Where the elements of an array are: another place each time means that they were copied.
    private func place(_ array: [some Any]) -> UnsafeRawPointer? {
        array.withUnsafeBytes { $0.baseAddress }
    }

    /// Another request waits behind, as on a connection that many use.
    @Test func anAnswerCopiesNoneOfTheAnswersBeforeIt() throws {
        let count = 10_000
        var requests = InFlightRequests()
        requests.append(try batch((0..<count).map { "k\($0)" }), deadline: .distantFuture)
        requests.append(try batch(["other"]), deadline: .distantFuture)
        var moves = 0
        var last: UnsafeRawPointer?
        for number in 0..<count - 1 {
            #expect(try !requests.receive(answer(number)))
            let now = place(requests.answers)
            if let last, last != now { moves += 1 }
            last = now
        }
        #expect(requests.answers.count == count - 1)
        #expect(moves == 0)
        #expect(try requests.receive(answer(count - 1)))
        #expect(requests.answers.isEmpty && !requests.isEmpty)
        #expect(try requests.receive(answer(0)))
        #expect(requests.isEmpty)
        #expect(throws: MemcacheError.self) { try requests.receive(answer(0)) }
    }

    @Test func eachRequestIsToldOnceThatItsTimeIsOver() throws {
        var requests = InFlightRequests()
        let begin = NIODeadline.now()
        for place in 0..<3 { requests.append(try batch(["k"]), deadline: begin + .seconds(Int64(place))) }
        #expect(requests.takeOverdue(at: begin - .nanoseconds(1)) == nil)
        #expect(requests.takeOverdue(at: begin + .seconds(1)) != nil)
        #expect(requests.takeOverdue(at: begin + .seconds(1)) != nil)
        #expect(requests.takeOverdue(at: begin + .seconds(1)) == nil)
        #expect(requests.firstDeadline == begin && requests.nextDeadline == begin + .seconds(2))
        // The first is answered late: the third is still the next.
        #expect(try requests.receive(answer(0)))
        #expect(requests.nextDeadline == begin + .seconds(2))
        #expect(requests.takeAll().count == 2 && requests.isEmpty)
    }

    /// Requests that come while a connection opens.
    @Test func aRequestCopiesNoneOfThoseThatWaitBeforeIt() throws {
        let count = 10_000
        let gate = ReconnectGate(Backoff())
        var state = ConnectionState()
        let batch = try batch(["k"])
        var moves = 0
        var last: UnsafeRawPointer?
        for _ in 0..<count {
            _ = state.submit(batch, gate)
            let now = place(state.waiting)
            if last != now { moves += 1 }
            last = now
        }
        #expect(state.waiting.count == count)
        // The room doubles.
        #expect(moves < 30)
        #expect(state.couldNotOpen().count == count && state.waiting.isEmpty)
    }
}

@Suite(.timeLimit(.minutes(1))) struct PieceTests {
    private func connection(_ path: String) -> MemcacheConnection {
        var configuration = ConnectionConfiguration()
        configuration.connectTimeout = .seconds(30)
        configuration.requestTimeout = .seconds(30)
        configuration.silence()
        return MemcacheConnection(to: .unixSocket(path: path), configuration: configuration)
    }

    /// A request for many keys leaves others room: what is asked for beside it is behind the pieces that are on their way,
    /// and before the rest.
    @Test func oneKeyDoesNotWaitForAllOfMany() async throws {
        let heard = Shared<[String]>([])
        let window = MemcacheConnection.piecesAhead * MemcacheConnection.pieceCommandsMax
        let server = try FakeServer { line in
            let count = heard.change { lines in
                lines.append(line)
                return lines.count
            }
            // All that is on its way is answered when the one beside it is.
            if count <= window { return .silence }
            let lines = count == window + 1 ? heard.value : [line]
            return .say(lines.map { "EN \(opaque($0))\r\n" }.joined())
        }
        let connection = connection(server.path)
        let keys = (0..<10 * window).map { "many:\($0)" }
        let many = Task { try await connection.items(for: keys) }
        await until { heard.value.count == window }
        #expect(try await connection.items(for: ["one"]).isEmpty)
        #expect(try await many.value.isEmpty)
        let order = heard.value.map { String($0.split(separator: " ")[1]) }
        #expect(order[window] == "one")
        #expect(order.filter { $0 != "one" } == keys)
    }

    /// What cannot be sent keeps all of it from being sent, as with few keys.
    @Test func aKeyThatCannotBeAmongManyChangesNothing() async throws {
        let server = try TestServer()
        let connection = server.connection()
        let items = (0..<2000).map { NewItem(key: "k\($0)", bytes: [1]) }
        #expect(try await connection.store(.set, items, expiration: .never) == [])
        let error = await #expect(throws: MemcacheError.self) {
            try await connection.delete(items.map(\.key) + [String(repeating: "k", count: 251)])
        }
        #expect(error?.code == .invalidKey)
        #expect(try await connection.items(for: items.map(\.key)).count == 2000)
    }

    @Test(arguments: Dialect.allCases) func manyAreStoredReadAndDeleted(dialect: Dialect) async throws {
        let server = try TestServer()
        let connection = server.connection { $0.dialect = dialect }
        // The last of those with one key stays.
        let items = (0..<3000).map { NewItem(key: "k\($0 % 1500)", bytes: Array("\($0)".utf8)) }
        #expect(try await connection.store(.set, items, expiration: .never) == [])
        let keys = (0..<2000).map { "k\($0)" }
        let found = try await connection.items(for: keys)
        #expect(found.count == 1500)
        #expect(found.allSatisfy { "k\((Int(String(decoding: $0.value.bytes, as: UTF8.self)) ?? 0) - 1500)" == $0.key })
        #expect(try await connection.store(.add, items, expiration: .never).count == 3000)
        #expect(try await connection.delete(keys).count == 1500)
        #expect(try await connection.items(for: keys).isEmpty)
    }

    @Test func manyKeepTheirEnds() async throws {
        let server = try TestServer()
        let connection = server.connection()
        let items = (0..<1000).map { NewItem(key: "k\($0)", bytes: [1]) }
        #expect(try await connection.store(.set, items, expiration: .after(.seconds(1000))) == [])
        let newer = items.map { NewItem(key: $0.key, bytes: [2]) }
        #expect(try await connection.store(.set, newer, expiration: .kept) == [])
        for key in ["k0", "k500", "k999"] {
            let item = try #require(try await connection.timedItem(for: key))
            #expect(item.value.bytes == [2])
            guard case .limited = item.left else {
                Issue.record("it has no end")
                continue
            }
        }
    }

    /// One who leaves in the middle leaves the connection to others.
    @Test func whoIsCancelledLeaves() async throws {
        let heard = Shared(0)
        let server = try FakeServer { line in
            heard.next()
            return line.contains("many:") ? .silence : .say("EN \(opaque(line))\r\n")
        }
        let connection = connection(server.path)
        let many = Task { try await connection.items(for: (0..<5000).map { "many:\($0)" }) }
        await until { heard.value == MemcacheConnection.piecesAhead * MemcacheConnection.pieceCommandsMax }
        many.cancel()
        await #expect(throws: CancellationError.self) { try await many.value }
        #expect(connection.isOpen)
    }
}
