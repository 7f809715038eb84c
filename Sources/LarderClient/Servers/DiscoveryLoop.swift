import Logging

#if ServiceLifecycle
    import ServiceLifecycle
#endif

/// What keeps a group's servers up to date asks again and again.
struct DiscoveryLoop: Sendable {
    /// At least a tenth of a second is waited.
    let interval: Duration
    let logger: Logger

    /// Until the task is cancelled or, where this is a service, the application shuts down. What fails is logged.
    func run(_ refresh: @escaping @Sendable () async throws -> Void) async {
        #if ServiceLifecycle
            await cancelWhenGracefulShutdown { await self.turn(refresh) }
        #else
            await turn(refresh)
        #endif
    }

    private func turn(_ refresh: @Sendable () async throws -> Void) async {
        while !Task.isCancelled {
            do {
                try await refresh()
            } catch is CancellationError {
                break
            } catch {
                logger.warning("it is not known which servers there are", metadata: ["error": "\(error)"])
            }
            try? await Task.sleep(for: max(interval, .milliseconds(100)))
        }
    }
}
