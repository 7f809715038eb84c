#if GRDB
    import LarderClient
    import LarderTesting
    import Logging
    import Synchronization

    /// A Larder of a test's own, which ends with the last reference, and a cache on it.
    final class ServedCache: @unchecked Sendable {
        // @unchecked: only `stop` changes anything, and each test calls it from one task.
        private let process: ServerProcess
        let cache: RemoteCache

        init(transport: ServerProcess.Transport = .unix) throws {
            process = try ServerProcess(executable: ServerProcess.larder, transport: transport)
            // Patient, for machines that are busy; and silent about what goes wrong on purpose.
            var configuration = ConnectionConfiguration()
            configuration.connectTimeout = .seconds(30)
            configuration.requestTimeout = .seconds(30)
            configuration.logger.logLevel = .critical
            let address: ServerAddress =
                switch process.endpoint {
                case .tcp(let port): .host("127.0.0.1", port: port)
                case .unix(let path): .unixSocket(path: path)
                }
            cache = RemoteCache(MemcacheConnection(to: address, configuration: configuration))
        }

        /// Ends it and waits until it has.
        func stop() { process.stop() }
    }

    /// Which cache stands before the database.
    enum TestCache: String, CaseIterable, Sendable {
        case memory, unixSocket, tcp

        /// The server has to be kept for as long as the cache.
        func make() throws -> (cache: any Cache, server: ServedCache?) {
            if self == .memory { return (try MemoryCache(memoryBytes: 4 << 20), nil) }
            let served = try ServedCache(transport: self == .tcp ? .tcp : .unix)
            return (served.cache, served)
        }
    }

    /// A clock that stands still until it is moved.
    final class TestClock: Sendable {
        private let milliseconds = Mutex<Int64>(1_700_000_000_000)

        func advance(seconds: Int64) { milliseconds.withLock { $0 += seconds * 1000 } }

        var cacheClock: CacheClock {
            CacheClock(now: { self.milliseconds.withLock { $0 } }, sleep: { _ in await Task.yield() })
        }
    }

    /// What a `ModelCache` said.
    final class EventLog: Sendable {
        private let content = Mutex<[String]>([])

        var lines: [String] { content.withLock { $0 } }

        func add(_ event: ModelCacheEvent) { content.withLock { $0.append(event.description) } }
    }
#endif
