import CBenchSystem
import Glibc
import LoadGenerator
import Synchronization

/// Runs one fault after the other, in an order that the seed decides.
final class Faults {
    let kinds: [FaultKind]
    let server: ServerUnderTest
    let shared: Shared
    var random: SeededRandom
    var counts: [FaultKind: Int] = [:]
    /// Why the run cannot continue.
    var failure: String?

    init(kinds: [FaultKind], server: ServerUnderTest, shared: Shared) {
        self.kinds = kinds
        self.server = server
        self.shared = shared
        random = SeededRandom(seed: shared.seed &* 7_919 &+ 17)
    }

    func below(_ bound: Int) -> Int { Int(random.next(below: UInt64(bound))) }

    /// Milliseconds until the next fault.
    func pause() -> Moment { Moment(200 + below(1500)) }

    func doOne() {
        guard !kinds.isEmpty else { return }
        let kind = kinds[below(kinds.count)]
        counts[kind, default: 0] += 1
        switch kind {
        case .kill: restart(by: SIGKILL)
        case .term: restart(by: below(4) == 0 ? SIGINT : SIGTERM)
        case .hup: server.send(SIGHUP)
        case .stop:
            server.send(SIGSTOP)
            usleep(UInt32(10_000 + below(790_000)))
            server.send(SIGCONT)
        case .memory:
            server.memoryMegabytes = 48 + below(6) * 16
            restart(by: below(2) == 0 ? SIGKILL : SIGTERM)
        case .disk: fillDisk()
        case .damage: damage()
        case .reset: mischief(1)
        case .half: mischief(2)
        case .slow: mischief(3)
        case .flush: mischief(4)
        case .clock: jump()
        }
    }

    private func mischief(_ number: Int) {
        let client = shared.lastAnswer[below(shared.lastAnswer.count)]
        client.mischief.store(number, ordering: .relaxed)
    }

    /// The wall clock is right again before the next start, which sets the server's clock by it.
    private func jump() {
        let seconds = [1, 3600, 86_400, 31_536_000][below(4)] * Int64(1 + below(3))
        server.moveClock(bySeconds: below(2) == 0 ? seconds : -seconds)
        usleep(UInt32(10_000 + below(790_000)))
        server.moveClock(bySeconds: 0)
    }

    // MARK: Ends and beginnings

    /// Ends the server, runs `meanwhile`, and starts the server again.
    func restart(by signal: Int32, meanwhile: () -> Void = {}) {
        guard stop(by: signal) else { return }
        meanwhile()
        if below(2) == 0 { usleep(UInt32(below(200_000))) }
        start()
    }

    private func stop(by signal: Int32) -> Bool {
        guard server.isRunning else {
            failure = "the server ended by itself (\(server.ending))"
            return false
        }
        shared.isDown.store(true, ordering: .releasing)
        guard server.end(signal) else {
            failure = "the server did not end within 15 s of signal \(signal)"
            return false
        }
        return true
    }

    /// Starts the server and raises `generation` for the clients.
    func start() {
        for (place, plan) in server.plans.enumerated() where !plan.hasStore {
            shared.gates[place].emptied.add(1, ordering: .releasing)
        }
        guard server.start() else {
            failure = "the server did not start (\(server.isRunning ? "it does not accept" : server.ending))"
            return
        }
        shared.generation.add(1, ordering: .releasing)
        shared.isDown.store(false, ordering: .releasing)
    }

    // MARK: The disk

    /// Fills the stores' file system while the server is down. Half of the time it also starts the server with another
    /// `-m`. The server must refuse or serve, and must lose nothing.
    private func fillDisk() {
        let filler = server.storeDirectory + "/filler"
        restart(by: below(2) == 0 ? SIGKILL : SIGTERM) {
            fill(filler)
            if below(2) == 0 { tryAnotherSize() }
        }
        usleep(UInt32(200_000 + below(800_000)))
        unlink(filler)
    }

    private func tryAnotherSize() {
        let usual = server.memoryMegabytes
        server.memoryMegabytes = usual == 144 ? 128 : usual + 16
        if server.start() {
            guard server.end(SIGTERM) else {
                failure = "the server did not end within 15 s of SIGTERM on a full disk"
                return
            }
        } else if server.isRunning {
            _ = server.end(SIGKILL)
            failure = "the server neither starts nor ends on a full disk"
        } else if server.lastStatus & 0x7f != 0 {
            failure = "the server died on a full disk (\(server.ending))"
        }
        server.memoryMegabytes = usual
    }

    private func fill(_ path: String) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let zeros = [UInt8](repeating: 0, count: 1 << 20)
        for size in [1 << 20, 4096] {
            while write(descriptor, zeros, size) > 0 {}
        }
    }

    // MARK: Damage

    private func damage() {
        let stores = server.plans.indices.filter { server.plans[$0].hasStore }
        guard !stores.isEmpty else { return }
        let place = stores[below(stores.count)]
        restart(by: below(2) == 0 ? SIGKILL : SIGTERM) {
            let path = server.storePath(server.plans[place])
            Damage.remove(setAside: path)
            Damage.damage(path, &random)
            shared.gates[place].damaged.add(1, ordering: .releasing)
        }
    }
}
