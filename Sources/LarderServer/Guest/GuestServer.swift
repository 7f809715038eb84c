import LarderStore
import Synchronization

/// A server in threads of its own, in a process that is somebody else's: it takes no signal, says nothing and writes
/// no file. Its clock is moved by hand, and its answers can be held back.
package final class GuestServer: Sendable {
    private let state: ServerState
    private let workers: [Worker]
    private let thread: SystemThread
    private let shift: ClockShift
    /// A worker's jobs while its clients get no answers; empty while they do.
    private let heldJobs = Mutex<[HeldJobs]>([])

    /// Serves when it returns.
    /// - Parameter clockStands: whether time passes only where `advanceClock` says so. It then begins at a whole second.
    /// - Throws: `StartupError`.
    package init(_ settings: Settings, clockStands: Bool) throws(StartupError) {
        let clock = ServerClock()
        let shift = ClockShift()
        if clockStands { shift.pause(at: (clock.startMilliseconds + 999) / 1000 * 1000) }
        let start = GuestStart()
        thread = try SystemThread(name: "larder-main") {
            start.serve(settings, clock, shift)
        }
        if let error = start.readiness.wait() {
            thread.join()
            throw error
        }
        guard let (state, workers) = start.started.withLock({ $0 }) else {
            thread.join()
            throw .worker("the server ended")
        }
        self.state = state
        self.workers = workers
        self.shift = shift
    }

    /// Ends it, and returns when all of its threads have ended and its sockets are closed. Call it once, last.
    package func stop() {
        resumeAnswers()
        // Clients that send half a request are waited for until a time that has to come.
        shift.resume()
        state.requestStop()
        thread.join()
    }

    /// How many clients are connected.
    package var connectionCount: Int { state.connectionLimit.current }

    /// Milliseconds since 1970, by the server's clock.
    package var nowMilliseconds: Int64 { state.clock.now() }

    /// Lets time pass. What is asked from then on is answered by the new time.
    package func advanceClock(milliseconds: Int64) {
        shift.move(milliseconds: milliseconds)
        // A turn that is under way has read the clock already.
        heldJobs.withLock { held in perform(held) { _, _ in } }
    }

    /// Closes all connections; requests that are not answered yet never are.
    package func closeConnections() {
        heldJobs.withLock { held in perform(held) { worker, core in worker.closeClients(core) } }
    }

    /// Answers nothing from now on. Clients can still connect, and what they send waits for `resumeAnswers`.
    package func pauseAnswers() {
        heldJobs.withLock { held in
            guard held.isEmpty else { return }
            for worker in workers {
                let jobs = HeldJobs()
                let hasBegun = Readiness()
                worker.perform { core in
                    core.endTurn()
                    hasBegun.succeed()
                    jobs.runAll(core)
                    core.beginTurn()
                }
                _ = hasBegun.wait()
                held.append(jobs)
            }
        }
    }

    /// Answers again, first of all what came meanwhile.
    package func resumeAnswers() {
        heldJobs.withLock { held in
            for jobs in held { jobs.end() }
            held = []
        }
    }

    /// Has each worker do something at the beginning of a turn, and waits until all have.
    private func perform(
        _ held: [HeldJobs],
        _ job: @escaping @Sendable (Worker, WorkerHandle) -> Void
    ) {
        let ends = workers.enumerated().map { number, worker in
            let end = Readiness()
            let turn: Worker.Job = { core in
                core.endTurn()
                core.beginTurn()
                job(worker, core)
                end.succeed()
            }
            if held.isEmpty { worker.perform(turn) } else { held[number].put(turn) }
            return end
        }
        for end in ends { _ = end.wait() }
    }
}

/// What a guest's main thread does, and what it tells its maker.
private final class GuestStart: Sendable {
    let readiness = Readiness()
    let started = Mutex<(ServerState, [Worker])?>(nil)

    func serve(_ settings: Settings, _ clock: ServerClock, _ shift: ClockShift) {
        do {
            let server = try Server(settings, Access(settings), clock: clock, shift: shift)
            try server.run(
                .guest { [self] state, workers in
                    started.withLock { $0 = (state, workers) }
                    readiness.succeed()
                })
        } catch let error as StartupError {
            readiness.fail(error)
        } catch {
            readiness.fail(.worker("\(error)"))
        }
    }
}
