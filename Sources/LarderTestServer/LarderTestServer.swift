public import LarderClient
import LarderServer
import Synchronization

/// A Larder server inside a program's own process, for its tests: a real one, with sockets and all, whose clock a
/// test moves and that fails when a test wants it to.
///
/// ```swift
/// try await LarderTestServer.withServer { server in
///     let cache = server.makeCache()
///     try await cache.set("k", 1, expiration: .after(.seconds(60)))
///     server.advance(by: .seconds(60))
///     #expect(try await cache.get("k", as: Int.self) == nil)
/// }
/// ```
///
/// Each server is empty and listens at an address of its own, so that tests may run at the same time, with as many
/// servers as they like. When it is stopped, or nobody holds it any more, nothing of it is left: no thread, no
/// descriptor, no file. Signals are left to the program.
public final class LarderTestServer: Sendable {
    /// Where it listens; the same again after a restart.
    public let address: ServerAddress
    /// How it was made.
    public let configuration: Configuration
    private let place: Place
    private let settings: Settings
    private let server: Mutex<GuestServer?>

    /// Starts a server; when this returns, it answers.
    /// - Throws: `LarderTestServerError`.
    public init(_ configuration: Configuration = Configuration()) throws(LarderTestServerError) {
        place = try Place(configuration.transport)
        address = place.address
        self.configuration = configuration
        settings = configuration.settings(at: place.address)
        server = Mutex(try Self.start(settings, configuration))
    }

    deinit { stop() }

    /// Starts a server for as long as `body` takes.
    nonisolated(nonsending) public static func withServer<Result>(
        _ configuration: Configuration = Configuration(),
        _ body: nonisolated(nonsending) (LarderTestServer) async throws -> Result
    ) async throws -> Result {
        let server = try LarderTestServer(configuration)
        defer { server.stop() }
        return try await body(server)
    }

    private static func start(
        _ settings: Settings, _ configuration: Configuration
    ) throws(LarderTestServerError) -> GuestServer {
        do {
            return try GuestServer(settings, clockStands: !configuration.isClockRunning)
        } catch {
            throw LarderTestServerError(message: error.message)
        }
    }

    // MARK: Clients

    /// What suits a test: answers are waited for as long as a busy machine may take.
    public var connectionConfiguration: ConnectionConfiguration {
        var configuration = ConnectionConfiguration()
        configuration.connectTimeout = .seconds(30)
        configuration.requestTimeout = .seconds(30)
        // A server that was stopped is found at once when it is back.
        configuration.backoff = Backoff(initial: .zero)
        return configuration
    }

    /// A connection that opens when it is first used.
    /// - Parameter configure: changes what `connectionConfiguration` says.
    public func makeConnection(
        _ configure: (inout ConnectionConfiguration) -> Void = { _ in }
    ) -> MemcacheConnection {
        var configuration = connectionConfiguration
        configure(&configuration)
        return MemcacheConnection(to: address, configuration: configuration)
    }

    /// A cache over a connection of its own.
    /// - Parameter configure: changes what `connectionConfiguration` says.
    public func makeCache(
        _ configure: (inout ConnectionConfiguration) -> Void = { _ in }
    ) -> RemoteCache {
        RemoteCache(makeConnection(configure))
    }

    /// How many clients are connected; 0 while it is stopped.
    public var connectionCount: Int { server.withLock { $0?.connectionCount ?? 0 } }

    // MARK: Time

    /// Milliseconds since 1970 by the server's clock; 0 while it is stopped.
    public var now: Int64 { server.withLock { $0?.nowMilliseconds ?? 0 } }

    /// Lets so much time pass for the server: whatever it is asked from now on, it answers as of then. Parts of a
    /// millisecond are left out, and nothing happens while it is stopped.
    ///
    /// - Parameter duration: a hundred years at most; what is less than a millisecond changes nothing.
    public func advance(by duration: Duration) {
        guard duration > .zero else { return }
        let (seconds, attoseconds) = min(duration, Self.longestStep).components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
        guard milliseconds > 0 else { return }
        server.withLock { $0?.advanceClock(milliseconds: milliseconds) }
    }

    private static let longestStep = Duration.seconds(100 * 365 * 86400)

    // MARK: Failures

    /// Answers nothing until `resumeAnswering`. Clients can connect, but get no greeting; what is sent meanwhile is not
    /// lost, and answered then.
    public func stopAnswering() { server.withLock { $0?.pauseAnswers() } }

    /// Answers again, what was sent meanwhile first.
    public func resumeAnswering() { server.withLock { $0?.resumeAnswers() } }

    /// Closes all connections, as a server or a network between does that fails; new ones are welcome.
    public func closeConnections() { server.withLock { $0?.closeConnections() } }

    /// Stops the server, if it runs: connections end, and nobody can connect. Returns when nothing of it runs any more.
    public func stop() {
        server.withLock { server in
            server?.stop()
            server = nil
        }
    }

    /// Starts it again at the same address, with nothing in it and its clock at the present, stopping it first if it
    /// runs.
    /// - Throws: `LarderTestServerError`.
    public func restart() throws(LarderTestServerError) {
        stop()
        try server.withLock { server throws(LarderTestServerError) in
            // Whoever was faster has started it.
            if server == nil { server = try Self.start(settings, configuration) }
        }
    }
}

/// Why a test server cannot be started.
public struct LarderTestServerError: Error, CustomStringConvertible {
    /// One sentence.
    public let message: String

    /// The sentence.
    public var description: String { message }
}
