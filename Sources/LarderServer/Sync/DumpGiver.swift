import CLarderSystem
import Glibc
import LarderStore
import LarderWire
import Synchronization

/// Gives dumps to those that ask for them at a listener for the uwsgi protocol, one after another.
///
/// A thread of its own does it, in slices (`DumpSlices`). It holds a lock for as long as one bucket of the index takes, or
/// one lookup. So no client waits for longer.
final class DumpGiver: Sendable {
    private struct Request {
        var fd: Int32
        var cacheNumber: Int
    }

    private let state: ServerState
    private let stop: StopSignal
    private let wakeup: Int32
    private let requests = Mutex<[Request]>([])
    private let thread = Mutex<SystemThread?>(nil)

    /// Further ones are closed. They ask again, or another server.
    private static let waitingMax = 8

    private init(_ state: ServerState) throws(StartupError) {
        self.state = state
        stop = try StopSignal()
        wakeup = larder_eventfd()
        guard wakeup >= 0 else { throw .thread(error: errno) }
    }

    deinit { close(wakeup) }

    /// Starts the thread, if there is anyone to give to.
    static func start(_ state: ServerState, _ listeners: [Listener]) throws(StartupError) {
        guard listeners.contains(where: { $0.bindingProtocol == .uwsgi }) else { return }
        let giver = try DumpGiver(state)
        let thread = try SystemThread(name: "larder-dump") { giver.run() }
        giver.thread.withLock { $0 = thread }
        state.dumpGiver.withLock { $0 = giver }
    }

    /// Ends the dump that is under way, and waits for the thread.
    static func end(_ state: ServerState) {
        guard let giver = state.dumpGiver.withLock({ $0 }) else { return }
        state.dumpGiver.withLock { $0 = nil }
        giver.stop.send()
        giver.thread.withLock { $0 }?.join()
        for request in giver.requests.withLock({ $0 }) { close(request.fd) }
    }

    /// Takes a request; false: too many are waiting.
    /// - Parameter socket: the client's, of which the thread uses a copy.
    func give(cacheNumber: Int, to socket: Int32) -> Bool {
        requests.withLock { requests in
            guard requests.count < Self.waitingMax else { return false }
            let fd = fcntl(socket, F_DUPFD_CLOEXEC, 0)
            guard fd >= 0 else { return false }
            requests.append(Request(fd: fd, cacheNumber: cacheNumber))
            var one: UInt64 = 1
            // SAFETY: eight bytes of a local variable.
            _ = write(wakeup, &one, 8)
            return true
        }
    }

    private func run() {
        let watch = state.watchFilesInThread()
        defer { extendLifetime(watch) }
        while true {
            do throws(DumpFailure) {
                try stop.wait(for: Int16(POLLIN), of: wakeup, milliseconds: 60_000)
            } catch {
                if error == .stopped { return }
            }
            var count: UInt64 = 0
            // SAFETY: eight bytes of a local variable.
            _ = read(wakeup, &count, 8)
            while let request = requests.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { serve(request) }
        }
    }

    private func serve(_ request: Request) {
        let connection = DumpConnection(owning: request.fd, stop)
        let cache = state.caches[request.cacheNumber]
        guard !cache.settings.isMemcachedShaped else { return }
        do throws(StoreError) {
            give(cache, try cache.store.makeSession(), to: connection)
        } catch {
            StandardError.write("larder: cache \"\(cache.name)\": a dump was not sent: \(error)", .warning)
        }
    }

    private func give(_ cache: ServedCache, _ session: borrowing Session, to connection: borrowing DumpConnection) {
        session.repair()
        session.beginSnapshot()
        defer { session.endSnapshot() }
        let itemsExpected = Int(clamping: cache.store.statistics.limitUse?.items ?? 0)
        var dump = DumpWriting(cache.settings, isInFile: session.isInFile, itemsExpected: itemsExpected)
        do throws(DumpFailure) {
            try dump.collect(session, state.clock, until: stop)
            try dump.write(session, state.clock, to: connection)
            StandardError.write("larder: cache \"\(cache.name)\": \(dump.summary)")
        } catch {
            // One that has all it needs does not wait for the rest.
            guard error != .stopped, !dump.hasSentAllItems else { return }
            StandardError.write(
                "larder: cache \"\(cache.name)\": a dump was not sent to its end: \(error.text)", .warning)
        }
    }
}
