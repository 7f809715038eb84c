import Glibc
import LarderStore
import LarderWire

/// A server without sockets and without threads, whose clock stands still until it is told to go
/// on: what protocol tests talk to.
package final class InProcessServer {
    let state: ServerState
    fileprivate let context: UnsafeMutablePointer<WorkerContext>
    private let shift = ClockShift()
    /// Called between the answer to a request and the moment that it is sent. For tests.
    package var beforeSending: (() -> Void)?

    /// - Parameter startMilliseconds: the first time of the clock; nil: the time of the wall clock.
    /// - Throws: `StoreError` when the settings ask for an arena that cannot be, `StartupError` when they name
    ///   a file of users that cannot be read.
    package init(settings: Settings, startMilliseconds: Int64? = nil) throws {
        var settings = settings
        settings.threadCount = 1
        let clock = startMilliseconds.map { ServerClock(startMilliseconds: $0) } ?? ServerClock()
        state = try ServerState(settings, clock: clock, access: Access(settings))
        shift.pause(at: state.clock.startMilliseconds)
        context = .allocate(capacity: 1)
        context.initialize(to: try WorkerContext(state, number: 0))
        context.pointee.clock = state.clock.shifted(by: shift)
    }

    deinit {
        context.deinitialize(count: 1)
        context.deallocate()
    }

    /// How many keys, or values to be stored, are taken from the input together, where nothing is logged: 1 to 16.
    package var batchMax: Int {
        get { context.pointee.batchMaxUnobserved }
        set { context.pointee.batchMaxUnobserved = min(max(newValue, 1), StepRoom.countMax) }
    }

    /// Lets time pass for all connections.
    package func advanceClock(milliseconds: Int64) { shift.move(milliseconds: milliseconds) }

    /// Milliseconds since 1970, by the server's clock.
    package var nowMilliseconds: Int64 { shift.shown }

    /// Advances the clock after each reading, as on a server that is busy between readings.
    package func advanceClock(millisecondsPerLook: Int64) { shift.move(millisecondsPerLook: millisecondsPerLook) }

    /// The answer of a UDP port to a datagram; nil for no answer.
    /// - Parameter isGuarded: whether an answer must be smaller than its request.
    package func answer(datagram: [UInt8], isGuarded: Bool) -> [[UInt8]]? {
        context.pointee.beginTurn()
        defer { context.pointee.endTurn() }
        let outcome = datagram.withUnsafeBytes {
            DatagramService.answer($0, isGuarded: isGuarded, nil, &context.pointee)
        }
        guard case .answer(let datagrams) = outcome else { return nil }
        return datagrams
    }

    /// What is wrong with the stores; empty when nothing is.
    package func checkInvariants() -> [String] { state.caches.flatMap { $0.store.checkInvariants() } }
}

/// One client of an `InProcessServer`.
package final class InProcessConnection {
    private let server: InProcessServer
    private var connection: Connection
    /// The server has closed the connection.
    package private(set) var isClosed = false

    /// - Parameter cacheNumber: the cache whose listener the client came by, in the order of `stats caches`.
    /// - Parameter bindingProtocol: what its listener says that it speaks; nil: what `-B` says.
    package init(
        _ server: InProcessServer, cacheNumber: Int = 0, bindingProtocol: Settings.BindingProtocol? = nil
    ) {
        self.server = server
        defer { connection.cacheNumber = cacheNumber }
        connection = Connection(number: 1, bindingProtocol, server.context.pointee)
    }

    deinit { connection.dispose(&server.context.pointee) }

    /// Gives the server bytes as one read would, and returns what it answers to them. Without any it
    /// returns what the server has to tell unasked.
    package func receive(_ bytes: [UInt8]) -> [UInt8] {
        var answer: [UInt8] = []
        if bytes.isEmpty, !isClosed {
            server.context.pointee.beginTurn()
            advance(&answer)
            server.context.pointee.endTurn()
        }
        var offset = 0
        while offset < bytes.count, !isClosed {
            server.context.pointee.beginTurn()
            guard let room = connection.inputRoom(&server.context.pointee), room.count > 0 else {
                isClosed = true
                break
            }
            let count = min(room.count, bytes.count - offset)
            bytes.withUnsafeBytes { source in
                room.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[offset..<offset + count]))
            }
            offset += count
            connection.didRead(count, &server.context.pointee)
            advance(&answer)
            server.context.pointee.endTurn()
        }
        return answer
    }

    private func advance(_ answer: inout [UInt8]) {
        while true {
            let damages = StoreDamage.count
            let action = connection.advance(&server.context.pointee)
            server.beforeSending?()
            // A worker does not send such an answer either.
            let isDoubtful =
                StoreDamage.count != damages && server.context.pointee.isDoubtful(connection, StoreDamage.count)
            guard !connection.output.isSpoiled, !isDoubtful else {
                isClosed = true
                return
            }
            takeOutput(&answer)
            switch action {
            case .read, .park, .holdWrite: return
            case .holdLogin:
                // A client would wait until this time.
                guard let time = connection.heldLogin?.milliseconds else { return }
                connection.continueLogin(now: time, &server.context.pointee)
            case .close:
                isClosed = true
                return
            case .send, .yield: continue
            }
        }
    }

    private func takeOutput(_ answer: inout [UInt8]) {
        while !connection.output.isEmpty {
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: Output.vectorsMax) { vectors in
                guard let start = vectors.baseAddress else { return }
                var taken = 0
                for number in 0..<connection.output.gather(start) {
                    answer += UnsafeRawBufferPointer(start: vectors[number].iov_base, count: vectors[number].iov_len)
                    taken += vectors[number].iov_len
                }
                connection.output.didSend(taken, server.context.pointee.session)
            }
        }
        connection.output.reset(&server.context.pointee.pool)
    }
}
