import Glibc
import LoadGenerator
import Synchronization

/// One thread that speaks one dialect. It has a connection to each cache, and keys of its own in each.
final class Client {
    let number: Int
    let dialect: Dialect
    let shared: Shared
    var channels: [Channel] = []
    var random: SeededRandom
    var batchNumber: UInt32 = 0
    private var generation = 0
    private var emptied: [Int]
    private var damaged: [Int]
    /// How long the server's clock may stand still, or a request of a lost connection may be on its way.
    static let lingerMilliseconds: Moment = 5000

    init(number: Int, dialect: Dialect, shared: Shared) {
        self.number = number
        self.dialect = dialect
        self.shared = shared
        random = SeededRandom(seed: shared.seed &* 1_000_003 &+ UInt64(number))
        emptied = shared.plans.map { _ in 0 }
        damaged = emptied
    }

    var marker: Marker { shared.lastAnswer[number] }

    /// Runs until the campaign is over.
    func run() {
        var watched = [pollfd](repeating: pollfd(), count: channels.count)
        while !shared.isOver.load(ordering: .relaxed) {
            let isEnding = shared.isEnding.load(ordering: .relaxed)
            if isEnding, !channels.contains(where: { $0.isBusy || $0.wantsFlush }) { break }
            if shared.generation.load(ordering: .acquiring) != generation { meetNewServer() }
            guard channels.allSatisfy(\.isOpen) || openAll() else { continue }
            doMischief()
            var idle = 0
            for channel in channels where !channel.isBusy {
                if !isEnding || channel.wantsFlush { startBatch(on: channel) }
                if !channel.isBusy { idle += 1 }
            }
            marker.isWaiting.store(idle < channels.count, ordering: .relaxed)
            for (place, channel) in channels.enumerated() {
                // The server closes no idle connection, so this end means that the server has ended.
                watched[place] = pollfd(fd: channel.descriptor, events: channel.events, revents: 0)
            }
            let isPending = channels.contains(where: \.hasPending)
            let found = poll(&watched, nfds_t(watched.count), isPending ? 0 : idle > 0 ? 1 : 500)
            guard found > 0 || isPending else { continue }
            for (place, channel) in channels.enumerated()
            where watched[place].revents != 0 || channel.hasPending {
                advance(channel)
            }
        }
        for channel in channels { end(channel, until: 0) }
        marker.isWaiting.store(false, ordering: .relaxed)
        marker.hasEnded.store(true, ordering: .releasing)
    }

    private func advance(_ channel: Channel) {
        guard channel.isOpen else { return }
        let before = channel.expectedNext &+ channel.askedCursor
        let progress = channel.advance()
        if progress == .some {
            judge(channel)
            if channel.expectedNext &+ channel.askedCursor != before || !channel.isBusy {
                marker.answeredAt.store(shared.now, ordering: .relaxed)
            }
        }
        if channel.isOpen, !channel.isBusy, channel.isInside { leave(channel) }
        if progress == .ended { lost(channel) }
    }

    func leave(_ channel: Channel) {
        channel.isInside = false
        shared.gates[channel.cache].leave()
    }

    // MARK: The end of connections

    /// The server has closed the connection.
    private func lost(_ channel: Channel) {
        if channel.isHalfClosed { return end(channel, until: shared.now &+ Self.lingerMilliseconds) }
        let reason = channel.reason
        // The fault that ends the server sets `isDown` first.
        let patience = shared.now &+ 3000
        while shared.now < patience, !isServerGoing { usleep(1000) }
        if !isServerGoing {
            shared.ledger.broken.add(1, ordering: .relaxed)
            shared.ledger.tell(
                "BROKEN the server hung up on \(dialect) client \(number), "
                    + "\(shared.plans[channel.cache].name), at \(shared.now) ms: \(reason)")
        }
        end(channel, until: isServerGoing ? 0 : shared.now &+ Self.lingerMilliseconds)
    }

    private var isServerGoing: Bool {
        shared.isDown.load(ordering: .acquiring) || shared.generation.load(ordering: .acquiring) != generation
            || shared.isOver.load(ordering: .relaxed)
    }

    /// Ends a connection. Each unanswered request may have been carried out or not.
    func end(_ channel: Channel, until: Moment, isHard: Bool = false) {
        channel.close(isHard: isHard)
        doubtUnanswered(channel, until: until)
        if channel.isInside { leave(channel) }
        if channel.wantsFlush {
            channel.wantsFlush = false
            shared.gates[channel.cache].endFlush()
        }
        channel.beginBatch(batchNumber, at: shared.now)
    }

    private func openAll() -> Bool {
        guard !shared.isDown.load(ordering: .acquiring) else {
            usleep(1000)
            return false
        }
        for channel in channels where !channel.isOpen && !channel.open() {
            usleep(1000)
            return false
        }
        return true
    }

    /// Resets the client for a new server process: all connections are new, and every key is checked once.
    private func meetNewServer() {
        generation = shared.generation.load(ordering: .acquiring)
        for channel in channels {
            end(channel, until: 0)
            let gate = shared.gates[channel.cache]
            // Another client may still be about to report the flush of the former server.
            while !gate.enter() { usleep(1000) }
            defer { gate.leave() }
            let keys = shared.keys[channel.cache][number]
            let emptied = gate.emptied.load(ordering: .acquiring)
            let damaged = gate.damaged.load(ordering: .acquiring)
            let isEmpty = emptied != self.emptied[channel.cache]
            let isDamaged = damaged != self.damaged[channel.cache]
            for index in 0..<keys.count {
                // The requests of the former server are over. Its unique numbers may no longer be valid.
                keys.states[index].settledAt = 0
                keys.states[index].unique = 0
                if isEmpty {
                    keys.know(index, .nothing)
                } else if isDamaged {
                    keys.states[index].doubtPresence()
                }
            }
            self.emptied[channel.cache] = emptied
            self.damaged[channel.cache] = damaged
            channel.recheckNext = 0
        }
    }

    /// Carries out the action that a fault asks of this client.
    private func doMischief() {
        let kind = marker.mischief.load(ordering: .relaxed)
        guard kind != 0 else { return }
        let channel = channels[Int(random.next(below: UInt64(channels.count)))]
        if kind == 4 { return beginFlush(channel) }
        guard channel.isOpen, channel.isBusy, !channel.wantsFlush else { return }
        switch kind {
        case 1: end(channel, until: shared.now &+ Self.lingerMilliseconds, isHard: true)
        case 2:
            guard channel.hasSentAll, dialect != .tls else { return }
            channel.closeHalf()
        default: channel.slowReads = 100
        }
        marker.mischief.store(0, ordering: .relaxed)
    }

    private func beginFlush(_ channel: Channel) {
        // At the main port it would flush the main port's cache.
        guard channel.encoder.prefix.isEmpty else { return }
        let isIdle = channel.isOpen && !channel.isBusy && !channel.wantsFlush
        let count = shared.keys[channel.cache][number].count
        guard isIdle, channel.recheckNext >= count, shared.plans[channel.cache].mayFlush,
            shared.gates[channel.cache].beginFlush()
        else { return }
        channel.wantsFlush = true
        marker.mischief.store(0, ordering: .relaxed)
    }
}
