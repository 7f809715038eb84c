/// What memcached's `-o ssl_...` options say.
package struct TLSConfiguration: Sendable, Equatable {
    /// `ssl_verify_mode`, by memcached's numbers.
    package enum VerifyMode: Int, Sendable {
        /// No client certificate is asked for.
        case none = 0
        /// One is asked for, and must be good if it comes.
        case request = 1
        case require = 2
        /// As `require`; there is no renegotiation at which to ask again.
        case once = 3
    }

    /// `ssl_min_version`, by memcached's numbers.
    package enum Version: Int, Sendable {
        case tls10 = 0
        case tls11 = 1
        case tls12 = 2
        case tls13 = 3

        /// As `stats settings` names it.
        package var name: String { "tlsv1.\(rawValue)" }
    }

    /// `ssl_chain_cert`: the server's certificate and those that lead from it to its root, PEM.
    package var chainPath: String?
    /// `ssl_key`
    package var keyPath: String?
    /// `ssl_keyformat`: 1 PEM, 2 DER.
    package var keyFormat: Int32 = 1
    package var verifyMode = VerifyMode.none
    /// `ssl_ciphers`: OpenSSL's list, for TLS 1.2 and older.
    package var ciphers: String?
    /// `ssl_ca_cert`: who may sign clients' certificates, PEM.
    package var authorityPath: String?
    package var minVersion = Version.tls12
    package var sessionCacheEnabled = false
    package var kernelTLSEnabled = false

    package init() {}
}

/// Why there is no TLS, in memcached's words.
package struct TLSError: Error, Equatable {
    package let message: String
}
