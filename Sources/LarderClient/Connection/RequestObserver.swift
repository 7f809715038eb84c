import Logging
import Metrics
import Tracing

/// What a request is called in metrics and spans.
enum Operation: String, CaseIterable, Sendable {
    case get, set, add, replace, append, prepend, cas, meta, delete, increment, touch, lease
    case flushAll = "flush_all"
    case ping
    case cluster = "config_get"
    case keys = "lru_crawler metadump"
}

/// Logs, measures and traces requests, with OpenTelemetry's names for database clients.
struct RequestObserver: Sendable {
    private let address: ServerAddress
    private let configuration: ConnectionConfiguration
    private var durations: [Operation: Metrics.Timer]
    private let connectDuration: Metrics.Timer

    init(_ address: ServerAddress, _ configuration: ConnectionConfiguration) {
        self.address = address
        self.configuration = configuration
        let factory = configuration.metricsFactory ?? MetricsSystem.factory
        let server = Self.serverAttributes(address)
        self.durations = [:]
        connectDuration = Metrics.Timer(
            label: "db.client.connection.create_time", dimensions: server, factory: factory)
        var durations: [Operation: Metrics.Timer] = [:]
        for operation in Operation.allCases { durations[operation] = timer(operation) }
        self.durations = durations
    }

    static func serverAttributes(_ address: ServerAddress) -> [(String, String)] {
        switch address {
        case .host(let name, let port):
            [("db.system.name", "memcached"), ("server.address", name), ("server.port", String(port))]
        case .unixSocket(let path): [("db.system.name", "memcached"), ("server.address", path)]
        }
    }

    /// Carries out a request within a span, and measures it.
    func observing<Result: Sendable>(
        _ operation: Operation, keyCount: Int = 1, _ body: () async throws -> Result
    ) async throws -> Result {
        let begin = ContinuousClock.now
        var failure: String?
        defer { note(operation, begin.duration(to: .now), failure) }
        let tracer = configuration.tracer ?? InstrumentationSystem.tracer
        return try await tracer.withAnySpan(operation.rawValue, ofKind: .client) { span in
            if span.isRecording {
                for (name, value) in Self.serverAttributes(address) { span.attributes[name] = value }
                span.attributes["db.operation.name"] = operation.rawValue
                if keyCount != 1 { span.attributes["db.operation.batch.size"] = keyCount }
            }
            do {
                return try await body()
            } catch {
                let kind = (error as? MemcacheError)?.code.description ?? "\(type(of: error))"
                failure = kind
                if span.isRecording { span.attributes["error.type"] = kind }
                throw error
            }
        }
    }

    /// What fails has a dimension that says how, and so a timer of its own, made when it is needed.
    private func note(_ operation: Operation, _ duration: Duration, _ failure: String?) {
        guard let failure else {
            durations[operation]?.record(duration: duration)
            return
        }
        timer(operation, [("error.type", failure)]).record(duration: duration)
    }

    private func timer(_ operation: Operation, _ more: [(String, String)] = []) -> Metrics.Timer {
        Metrics.Timer(
            label: "db.client.operation.duration",
            dimensions: Self.serverAttributes(address) + [("db.operation.name", operation.rawValue)] + more,
            factory: configuration.metricsFactory ?? MetricsSystem.factory)
    }

    /// Carries out a request; `instead` is the result when the server is down and that is to be a miss.
    func tolerating<Result: Sendable>(
        instead: Result, _ body: () async throws -> Result
    ) async throws -> Result {
        do {
            return try await body()
        } catch let error as MemcacheError where error.isServerFailure && configuration.onFailure == .miss {
            configuration.logger.debug("a miss, because the server failed", metadata: ["error": "\(error)"])
            return instead
        }
    }

    func opened(after duration: Duration) {
        connectDuration.record(duration: duration)
        configuration.logger.debug("connected", metadata: ["server": "\(address)"])
    }

    func couldNotOpen(_ error: MemcacheError) {
        configuration.logger.warning(
            "cannot connect", metadata: ["server": "\(address)", "error": "\(error)"])
    }

    func lost(_ error: MemcacheError) {
        configuration.logger.warning(
            "connection lost", metadata: ["server": "\(address)", "error": "\(error)"])
    }

    func notStored(_ answer: Answer) {
        configuration.logger.debug(
            "not stored", metadata: ["server": "\(address)", "answer": "\(answer.text)"])
    }

    /// The error for an answer that does not fit the question.
    func unexpected(_ answer: Answer?) -> MemcacheError {
        switch answer?.code {
        case .serverError: MemcacheError(.serverError, answer?.text ?? "")
        case .clientError: MemcacheError(.clientError, answer?.text ?? "")
        default:
            MemcacheError(.protocolViolation, "\(address) gives an answer that does not fit the question")
        }
    }
}
