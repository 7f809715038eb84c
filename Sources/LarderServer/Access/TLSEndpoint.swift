import CLarderSystem
import LarderTLS
import Synchronization

/// The server's side of TLS: what new sessions are made from, read again on SIGHUP and by `refresh_certs`.
/// Sessions that there are go on with the certificates that they began with.
final class TLSEndpoint: Sendable {
    private let configuration: TLSConfiguration
    private let current: Mutex<TLSContext>
    private let refreshed: Atomic<Int64>

    /// nil without `-Z`.
    init?(_ settings: Settings) throws(StartupError) {
        guard settings.tlsEnabled else { return nil }
        var configuration = settings.tls
        // A daemon leaves the directory that a relative path begins at.
        configuration.chainPath = configuration.chainPath.map(absolutePath)
        configuration.keyPath = configuration.keyPath.map(absolutePath)
        configuration.authorityPath = configuration.authorityPath.map(absolutePath)
        self.configuration = configuration
        do throws(TLSError) {
            current = Mutex(try TLSContext(configuration))
        } catch {
            throw .tls(error.message)
        }
        refreshed = Atomic(larder_milliseconds(true))
    }

    /// When the certificates in use were read, on the server's clock.
    var refreshedAtMilliseconds: Int64 { refreshed.load(ordering: .relaxed) }

    /// Reads the certificates again; the former ones stay when anything is wrong with the new ones.
    func refresh() throws(TLSError) {
        let context = try TLSContext(configuration)
        current.withLock { $0 = context }
        refreshed.store(larder_milliseconds(true), ordering: .relaxed)
    }

    /// As `refresh`, for a signal: what is wrong is worth a line.
    func reload() {
        do throws(TLSError) {
            try refresh()
        } catch {
            StandardError.write("\(error.message); the certificates stay as they were.")
        }
    }

    /// A session for a client of a listener; nil when there is no memory.
    func makeSession(fd: Int32, _ encryption: Settings.Encryption) -> TLSSession? {
        let context = current.withLock { $0 }
        switch encryption {
        case .withClientCertificate: return context.makeSession(fd: fd, clientCertificate: .required)
        case .withoutClientCertificate: return context.makeSession(fd: fd, clientCertificate: .notAsked)
        case .asConfigured, .off: return context.makeSession(fd: fd)
        }
    }
}
