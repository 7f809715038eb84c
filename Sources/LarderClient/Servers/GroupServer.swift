import Logging
import Synchronization

/// One server of a group, and how it has been of late.
final class GroupServer: Sendable {
    let address: ServerAddress
    let servers: any ItemServers
    private let logger: Logger
    private let health: Mutex<ServerHealth>

    init(_ address: ServerAddress, _ servers: any ItemServers, _ ejection: Ejection?, _ logger: Logger) {
        self.address = address
        self.servers = servers
        self.logger = logger
        health = Mutex(ServerHealth(ejection))
    }

    var isEjected: Bool { health.withLock { $0.isEjected } }

    /// - Returns: nil while the server is left out.
    func admit() -> ServerHealth.Admission? {
        health.withLock { $0.admit(at: .now) }
    }

    /// For what concerns a server also while it is left out.
    var visit: ServerHealth.Admission { health.withLock { $0.visit } }

    /// Asks the server, and notes how it fared.
    func ask<Result: Sendable>(
        _ admission: ServerHealth.Admission, _ body: (any ItemServers) async throws -> Result
    ) async throws -> Result {
        do {
            let result = try await body(servers)
            note(health.withLock { $0.succeeded() })
            return result
        } catch let error as MemcacheError {
            switch error.code {
            case .cannotConnect, .connectionLost, .timedOut, .protocolViolation:
                note(health.withLock { $0.failed(admission, at: .now) })
            // Nobody has tried the server.
            case .backingOff, .closed: break
            case .invalidKey, .notSupported: health.withLock { $0.passed(admission, at: .now) }
            // It has answered.
            default: note(health.withLock { $0.succeeded() })
            }
            throw error
        }
    }

    private func note(_ change: ServerHealth.Change) {
        switch change {
        case .none: break
        case .ejected: logger.warning("a server is left out", metadata: ["server": "\(address)"])
        case .returned: logger.notice("a server is back", metadata: ["server": "\(address)"])
        }
    }

    func close() async {
        await (servers as? any Poolable)?.close()
    }
}
