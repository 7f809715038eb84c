import CLarderSystem
import Glibc
import LarderEventLoop
import LarderStore

/// The server's side of a take-over, in the main thread.
extension Server {
    /// How long threads have to stop. A worker needs 10 ms at most.
    private static var stopMilliseconds: Int64 { 1_000 }
    /// How long the successor has for its answer. No request is answered meanwhile.
    private static var takenMilliseconds: Int64 { 1_000 }
    /// How long the workers have to hand their clients over.
    private static var clientsMilliseconds: Int64 { 2_000 }
    private static var lastLinesMilliseconds: Int64 { 1_000 }

    /// Waits for successors from now on, if there is `--takeover`.
    /// - Returns: what must live as long as the loop.
    func beginTakeovers(on loop: EventLoop) throws -> [AnyObject] {
        guard let socket = takeoverSocket else { return [] }
        let watch = try SuccessorWatch(socket, socketsToOffer(), state)
        successorWatch = watch
        let wakeup = try Wakeup(on: loop) { [unowned self] in
            guard let channel = watch.takePrepared() else { return }
            handOver(to: channel)
            watch.resume()
        }
        try watch.start(wakeup.waker)
        let signal = try SignalWatch(on: loop, signal: SIGUSR2) { [unowned self] in startSuccessor() }
        return [wakeup, signal]
    }

    private func socketsToOffer() -> [OfferedSocket] {
        let inherited = state.settings.inheritedSockets.map(\.fd)
        var sockets = listeners.map {
            OfferedSocket(fd: $0.fd, role: inherited.contains($0.fd) ? .inherited : .own)
        }
        sockets += datagramSockets.map { OfferedSocket(fd: $0.fd, role: .own) }
        sockets += (admin?.descriptors ?? []).map { OfferedSocket(fd: $0, role: .own) }
        for cache in state.caches {
            guard let sync = cache.sync else { continue }
            sockets += sync.sockets.filter(\.isReceiver).map { OfferedSocket(fd: $0.fd, role: .own) }
        }
        return sockets
    }

    // MARK: SIGUSR2

    private func startSuccessor() {
        reapSuccessor()
        guard successorProcess == 0 else {
            return StandardError.write("larder: process \(successorProcess) is taking over already", .warning)
        }
        var process: pid_t = 0
        let variables = notifier?.successorVariables ?? []
        let copies = variables.map { strdup($0) } + [nil]
        defer { for copy in copies { free(copy) } }
        let error = larder_start_again(state.settings.startDirectory ?? "/", copies, &process)
        guard error == 0 else {
            return StandardError.write("larder: no successor was started: \(describe(error: error))", .warning)
        }
        successorProcess = process
        StandardError.write("larder: process \(process) was started to take over")
    }

    /// Takes note of the end of a successor that this server has started.
    func reapSuccessor() {
        guard successorProcess != 0 else { return }
        if waitpid(successorProcess, nil, WNOHANG) != 0 { successorProcess = 0 }
    }

    // MARK: The take-over

    /// Hands the stores over. Returns if there was no take-over; the server serves as before then.
    private func handOver(to channel: TakeoverChannel) {
        let start = larder_milliseconds(false)
        let gate = PauseGate(threadCount: workers.count + (admin == nil ? 0 : 1))
        for worker in workers { worker.perform { core in core.pause(at: gate) } }
        admin?.pause(at: gate)
        var closed: [StoreHandover] = []
        do throws(TakeoverFailure) {
            guard gate.awaitArrivals(withinMilliseconds: Self.stopMilliseconds) else {
                throw TakeoverFailure(reason: "a worker is busy")
            }
            for cache in state.caches { closed.append(try suspend(cache)) }
            for handover in closed {
                var packet = TakeoverPacket(kind: .closed)
                for word in handover.words { packet.body.add(word) }
                try channel.send(packet)
            }
            _ = try channel.receive(.taken, withinMilliseconds: Self.takenMilliseconds)
            notifier?.noteSuccessor(process: channel.process)
            try channel.send(TakeoverPacket(kind: .yours))
        } catch {
            for (cache, handover) in zip(state.caches, closed) { cache.store.resume(handover) }
            gate.goOn()
            channel.refuse(error.reason)
            notifier?.noteSuccessor(process: Int64(getpid()))
            return SuccessorWatch.report(error, channel)
        }
        let time = larder_milliseconds(false) - start
        leave(to: channel, gate, pauseMilliseconds: time, items: closed.reduce(0) { $0 + $1.items })
    }

    private func suspend(_ cache: ServedCache) throws(TakeoverFailure) -> StoreHandover {
        guard let handover = cache.store.suspend(forSessions: state.settings.threadCount) else {
            throw TakeoverFailure(reason: "a dump or a page of the console reads cache \(cache.name)")
        }
        return handover
    }

    /// The stores are the other process's. Finishes the answers, and ends the process.
    private func leave(
        to channel: TakeoverChannel, _ gate: PauseGate, pauseMilliseconds: Int64, items: Int
    ) -> Never {
        let clients = gate.leave(withinMilliseconds: Self.clientsMilliseconds)
        hand(clients, to: channel)
        // It takes longer the more memory there is, so clients do not wait for it.
        for cache in state.caches where !cache.store.giveUp() { _exit(ExitCode.osError) }
        gate.noteGivenUp()
        StandardError.write(
            "larder: process \(channel.process) took over \(items) items and \(clients.count) clients after a pause of"
                + " \(pauseMilliseconds) ms; this process ends")
        for worker in workers { worker.join() }
        StandardError.finish(withinMilliseconds: Self.lastLinesMilliseconds)
        // Not by `run`: threads that wait for a store would be waited for.
        _exit(ExitCode.success)
    }

    private func hand(_ clients: [HandedClient], to channel: TakeoverChannel) {
        var rest = clients[...]
        while !rest.isEmpty {
            var packet = TakeoverPacket(kind: .clients)
            packet.body.add(state.loginMethod.number)
            for client in rest.prefix(TakeoverPacket.descriptorsMax) { client.write(to: &packet) }
            rest = rest.dropFirst(TakeoverPacket.descriptorsMax)
            // The other process may have ended. Its clients are closed with this one.
            do throws(TakeoverFailure) { try channel.send(packet) } catch { return }
            for fd in packet.descriptors { Glibc.close(fd) }
        }
    }
}
