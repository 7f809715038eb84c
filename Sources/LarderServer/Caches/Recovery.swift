import LarderStore
import Synchronization

/// Has the stores that lie in files find what those hold, on a thread of its own: the server listens and
/// answers meanwhile, and requests that need a store wait (`ConnectionParking.swift`).
struct Recovery {
    private let thread: SystemThread?
    private let state: ServerState

    /// - Parameter isDone: called in the thread, when all stores are there.
    init(_ state: ServerState, isDone: @escaping @Sendable () -> Void) throws(StartupError) {
        self.state = state
        guard !state.isReady else {
            thread = nil
            return
        }
        thread = try SystemThread(name: "larder-recover") {
            for cache in state.caches where !cache.store.isReady {
                cache.store.recover()
                guard cache.store.isReady else { return Self.refuse(cache, state) }
                Self.report(cache)
            }
            guard Self.startReplicas(state) else { return }
            isDone()
        }
    }

    /// Ends a recovery that is under way, and waits for its thread. Call it once.
    func stop() {
        for cache in state.caches {
            cache.store.stopRecovery()
            cache.replica?.stop()
        }
        thread?.join()
    }

    /// Has all replicated caches follow their logs, and waits until they can be read.
    /// - Returns: false if the server must not serve.
    private static func startReplicas(_ state: ServerState) -> Bool {
        for cache in state.caches {
            do throws(StartupError) {
                try cache.replica?.start(cache.store)
            } catch {
                state.startFailure.withLock { $0 = error }
                state.requestStop()
                return false
            }
        }
        for cache in state.caches { cache.replica?.waitUntilReadable() }
        return true
    }

    /// The store is not ready: the recovery was stopped, or items of the file exceed the limits and must not be
    /// dropped.
    private static func refuse(_ cache: ServedCache, _ state: ServerState) {
        let items = cache.store.recovery.refusedItems
        guard items > 0, let path = cache.store.fileStatistics?.path else { return }
        state.startFailure.withLock { $0 = .cacheShrinks(cache: cache.name, path: path, items: items) }
        state.requestStop()
    }

    private static func report(_ cache: ServedCache) {
        let report = cache.store.recovery
        for notice in report.notices { StandardError.write("larder: \(notice)", .warning) }
        guard report.items + report.droppedItems + report.leftOutItems + report.expiredItems > 0 else { return }
        var line = "larder: cache \(cache.name) has \(report.items) items again after \(report.milliseconds) ms"
        if report.droppedItems > 0 { line += "; dropped \(report.droppedItems) that were torn or damaged" }
        if report.leftOutItems > 0 { line += "; left out \(report.leftOutItems) for which there is no room now" }
        StandardError.write(line)
    }
}
