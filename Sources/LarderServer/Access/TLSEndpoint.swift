import CLarderSystem
import LarderTLS
import Synchronization

/// The server's side of TLS: what new sessions are made from, read again on SIGHUP and by `refresh_certs`.
/// Sessions that there are go on with the certificates that they began with.
final class TLSEndpoint: Sendable {
    private let configuration: TLSConfiguration
    private let current: Mutex<Reading>
    private let refreshed: Atomic<Int64>

    /// The contexts made from one reading of the certificates. Each listener has a context of its own with its own
    /// ticket keys. So a session can be resumed only at its listener, and only until the certificates are read again.
    private struct Reading {
        let number: UInt64
        /// The context that the listeners' contexts are made from. It serves no client.
        let pattern: TLSContext
        /// By the listeners' descriptors, which stay open while the server runs.
        var contexts: [Int32: TLSContext] = [:]
    }

    /// nil without `-Z`.
    init?(_ settings: Settings) throws(StartupError) {
        guard settings.tlsEnabled else { return nil }
        configuration = settings.tls
        do throws(TLSError) {
            current = Mutex(Reading(number: 1, pattern: try TLSContext(configuration)))
        } catch {
            throw .tls(error.message)
        }
        refreshed = Atomic(larder_milliseconds(true))
    }

    /// When the certificates in use were read, on the server's clock.
    var refreshedAtMilliseconds: Int64 { refreshed.load(ordering: .relaxed) }

    /// When the server's certificate expires, as Unix time; nil: that is not known.
    var certificateEnd: Int64? { current.withLock { $0.pattern.certificateEnd } }

    /// Reads the certificates again; the former ones stay when anything is wrong with the new ones.
    func refresh() throws(TLSError) {
        let context = try TLSContext(configuration)
        current.withLock { $0 = Reading(number: $0.number &+ 1, pattern: context) }
        refreshed.store(larder_milliseconds(true), ordering: .relaxed)
    }

    /// As `refresh`, for a signal: what is wrong is worth a line. True: the files were read.
    func reload() -> Bool {
        do throws(TLSError) {
            try refresh()
            return true
        } catch {
            StandardError.write("\(error.message); the certificates stay as they were.", .warning)
            return false
        }
    }

    /// A session for a client of a listener; nil when there is no memory.
    func makeSession(fd: Int32, _ listener: Listener) -> TLSSession? {
        context(of: listener)?.makeSession(fd: fd)
    }

    /// Whether a client may continue after its handshake. A client that connected before the certificates were read
    /// again has a context of the former reading. It must not resume a session that only the former authorities allow.
    func admits(_ session: TLSSession) -> Bool {
        guard session.isResumed, session.asksCertificate else { return true }
        return current.withLock { $0.contexts.values.contains { $0.made(session) } }
    }

    private func context(of listener: Listener) -> TLSContext? {
        current.withLock { reading in
            if let context = reading.contexts[listener.fd] { return context }
            let context = try? makeContext(of: listener, reading)
            reading.contexts[listener.fd] = context
            return context
        }
    }

    private func makeContext(of listener: Listener, _ reading: Reading) throws(TLSError) -> TLSContext {
        let verifyMode: TLSConfiguration.VerifyMode =
            switch listener.encryption {
            case .withClientCertificate: .require
            case .withoutClientCertificate: .none
            case .asConfigured, .off: configuration.verifyMode
            }
        let scope = "larder \(reading.number) \(listener.fd) \(verifyMode.rawValue)"
        return try TLSContext(
            configuration, sharing: reading.pattern, verifyMode: verifyMode, scope: Array(scope.utf8.prefix(32)))
    }
}
