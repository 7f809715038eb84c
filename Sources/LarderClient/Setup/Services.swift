#if ServiceLifecycle
    public import ServiceLifecycle

    // Connections, pools and groups as services: `ServiceGroup` then closes them when the application ends, after the
    // services that it was given after them.

    extension MemcacheConnection: Service {
        /// Opens the connection, and closes it for good when the application shuts down or the task is cancelled.
        ///
        /// - Throws: `MemcacheError` when it cannot be opened; where failures are misses it then opens as soon as it can.
        public func run() async throws {
            do {
                try await connect()
            } catch is CancellationError {
                return await close()
            }
            await waitForShutdown()
            await close()
        }
    }

    extension EagerPool: Service {
        /// Waits until the application shuts down or the task is cancelled, and closes the pool. It has been open since it
        /// was made.
        public func run() async throws {
            await waitForShutdown()
            await close()
        }
    }

    extension LazyPool: Service {
        /// Waits until the application shuts down or the task is cancelled, and closes the pool. What it opens it opens when
        /// it is asked for.
        public func run() async throws {
            await waitForShutdown()
            await close()
        }
    }

    extension Pooled: Service {
        /// Waits until the application shuts down or the task is cancelled, and closes the pool.
        public func run() async throws {
            await waitForShutdown()
            await pool.close()
        }
    }

    extension ServerGroup: Service {
        /// Waits until the application shuts down or the task is cancelled, and closes all connections. They open when they
        /// are first used.
        public func run() async throws {
            await waitForShutdown()
            await close()
        }
    }

    extension ClusterDiscovery: Service {}
    extension ServerDiscovery: Service {}

    private func waitForShutdown() async {
        // A cancelled task is to close, too.
        try? await gracefulShutdown()
    }
#endif
