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
        try Self.loadLibrary()
        guard let native = larder_tls_context_new() else {
            throw TLSError(message: "Error creating the SSL context")
        }
        self.native = native
        _ = larder_tls_set_min_version(native, Int32(configuration.minVersion.rawValue))
        try loadCertificates(configuration)
        larder_tls_set_verify(native, configuration.verifyMode.flags)
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
        guard larder_tls_use_chain(native, chain) else {
            throw Self.failure("Error loading the certificate chain: \(configuration.chainPath ?? "(null)") :")
        }
        // Key and certificates may share a file.
        let key = configuration.keyPath ?? chain
        guard larder_tls_use_key(native, key, configuration.keyFormat) else {
            throw Self.failure("Error loading the key: \(key) :")
        }
        guard larder_tls_check_key(native) else { throw Self.failure("Error validating the certificate:") }
        guard let authorities = configuration.authorityPath else { return }
        guard larder_tls_use_authorities(native, authorities) else {
            throw Self.failure("Error loading the CA certificate: \(authorities) :")
        }
    }

    /// A failure with OpenSSL's own words behind it: the first entry of its queue is the cause.
    private static func failure(_ what: String) -> TLSError {
        TLSError(message: "\(what) \(TLSSession.describe(larder_tls_take_error()))")
    }

    /// What a listener asks of its clients, in place of `ssl_verify_mode`.
    package enum ClientCertificate: Sendable {
        case asConfigured
        case notAsked
        case required
    }

    /// A session for a socket, at its beginning; nil when there is no memory.
    package func makeSession(fd: Int32, clientCertificate: ClientCertificate = .asConfigured) -> TLSSession? {
        guard let session = larder_tls_session_new(native, fd) else { return nil }
        switch clientCertificate {
        case .asConfigured: break
        case .notAsked: larder_tls_session_set_verify(session, TLSConfiguration.VerifyMode.none.flags)
        case .required: larder_tls_session_set_verify(session, TLSConfiguration.VerifyMode.require.flags)
        }
        return TLSSession(session)
    }
}

extension TLSConfiguration.VerifyMode {
    /// OpenSSL's number for it, which `stats settings` shows.
    package var flags: Int32 { larder_tls_verify_flags(Int32(rawValue)) }
}
