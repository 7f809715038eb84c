import CLarderTLS

/// Certificates and rules for the connections that are made from it. Those keep it alive: a server that
/// reads its certificates again makes a new one, and nobody is disturbed.
///
/// SAFETY: `@unchecked Sendable` because the pointer never changes, and OpenSSL allows sessions to be made
/// from one context by several threads.
package final class TLSContext: @unchecked Sendable {
    private let native: OpaquePointer
    /// Sessions that are kept for resumption without a ticket.
    private static let cachedSessionsMax = 4096

    /// A server's. Reads the certificates, and refuses all that cannot work.
    package init(_ configuration: TLSConfiguration) throws(TLSError) {
        native = try Self.makeServer()
        try loadCertificates(configuration)
        try apply(configuration, configuration.verifyMode)
    }

    /// A context of a server's listener, with the certificates of `pattern`. A session is resumed only by the context
    /// that it began with: for a resumed session OpenSSL does not ask for a certificate again.
    /// - Parameter scope: identifies the listener and the reading of the certificates; at most 32 bytes.
    package init(
        _ configuration: TLSConfiguration, sharing pattern: TLSContext, verifyMode: TLSConfiguration.VerifyMode,
        scope: [UInt8]
    ) throws(TLSError) {
        native = try Self.makeServer()
        guard larder_tls_share_certificates(native, pattern.native),
            larder_tls_set_session_scope(native, scope, UInt32(clamping: scope.count))
        else { throw Self.failure("Error creating the SSL context:") }
        try apply(configuration, verifyMode)
    }

    private static func makeServer() throws(TLSError) -> OpaquePointer {
        try loadLibrary()
        guard let native = larder_tls_context_new() else {
            throw TLSError(message: "Error creating the SSL context")
        }
        return native
    }

    /// Applies the settings that need no file.
    private func apply(
        _ configuration: TLSConfiguration, _ verifyMode: TLSConfiguration.VerifyMode
    ) throws(TLSError) {
        _ = larder_tls_set_min_version(native, Int32(configuration.minVersion.rawValue))
        larder_tls_set_verify(native, verifyMode.flags)
        if let ciphers = configuration.ciphers, !larder_tls_set_ciphers(native, ciphers) {
            _ = larder_tls_take_error()
            throw TLSError(message: "Error setting the provided cipher(s): \(ciphers)")
        }
        larder_tls_set_session_cache(native, configuration.sessionCacheEnabled, Self.cachedSessionsMax)
        if configuration.kernelTLSEnabled, !larder_tls_enable_kernel(native) {
            throw TLSError(message: "Kernel TLS offload is not available")
        }
    }

    /// A client's. Without authorities it trusts any server: fit for asking whether one is there.
    package init(trusting authorityPath: String?) throws(TLSError) {
        try Self.loadLibrary()
        guard let native = larder_tls_client_context_new() else {
            throw TLSError(message: "Error creating the SSL context")
        }
        self.native = native
        guard let authorityPath else { return }
        guard larder_tls_use_authorities(native, authorityPath) else {
            throw Self.failure("Error loading the CA certificate: \(authorityPath) :")
        }
        larder_tls_set_verify(native, TLSConfiguration.VerifyMode.request.flags)
    }

    deinit { larder_tls_context_free(native) }

    private static func loadLibrary() throws(TLSError) {
        if let reason = larder_tls_load() {
            throw TLSError(message: "Error loading OpenSSL: \(String(cString: reason))")
        }
    }

    private func loadCertificates(_ configuration: TLSConfiguration) throws(TLSError) {
        let chain = configuration.chainPath ?? ""
        do throws(TLSError) {
            try load("certificate chain", chain, shownAs: configuration.chainPath ?? "(null)") {
                larder_tls_use_chain(native, chain)
            }
        } catch {
            guard configuration.chainPath == nil else { throw error }
            throw TLSError(message: "\(error.message)\n-Z needs a certificate: give -o ssl_chain_cert=FILE.")
        }
        // Key and certificates may share a file.
        let key = configuration.keyPath ?? chain
        try load("key", key, isPEM: configuration.keyFormat == 1) {
            larder_tls_use_key(native, key, configuration.keyFormat)
        }
        guard larder_tls_check_key(native) else { throw Self.failure("Error validating the certificate:") }
        guard let authorities = configuration.authorityPath else { return }
        try load("CA certificate", authorities) { larder_tls_use_authorities(native, authorities) }
    }

    /// Lets OpenSSL read a file, and refuses the file if it is incomplete.
    private func load(
        _ what: String, _ path: String, shownAs name: String? = nil, isPEM: Bool = true, _ body: () -> Bool
    ) throws(TLSError) {
        let before = isPEM ? PEMFile(path) : nil
        let prefix = "Error loading the \(what): \(name ?? path) :"
        guard body() else { throw Self.failure(prefix) }
        guard isPEM else { return }
        if let fault = before?.fault { throw TLSError(message: "\(prefix) \(fault)") }
        guard before == PEMFile(path) else { throw TLSError(message: "\(prefix) the file changed while it was read") }
    }

    /// A failure with OpenSSL's own words behind it: the first entry of its queue is the cause.
    private static func failure(_ what: String) -> TLSError {
        TLSError(message: "\(what) \(TLSSession.describe(larder_tls_take_error()))")
    }

    /// A session for a socket, at its beginning; nil when there is no memory.
    package func makeSession(fd: Int32) -> TLSSession? {
        larder_tls_session_new(native, fd).map { TLSSession($0) }
    }

    /// When the certificate expires, as Unix time; nil: there is none, or its time is none.
    package var certificateEnd: Int64? {
        let time = larder_tls_certificate_end(native)
        return time < 0 ? nil : time
    }

    /// Whether a session was made from this context.
    package func made(_ session: TLSSession) -> Bool { larder_tls_is_made_from(session.ssl, native) }
}

extension TLSConfiguration.VerifyMode {
    /// OpenSSL's number for it, which `stats settings` shows.
    package var flags: Int32 { larder_tls_verify_flags(Int32(rawValue)) }
}
