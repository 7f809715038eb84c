#if Configuration
    public import Configuration
    import NIOSSL

    extension ConnectionConfiguration {
        /// Reads what a configuration says. What it says nothing about stays as in `ConnectionConfiguration()`; logger,
        /// metrics and tracer are not read.
        ///
        /// ```swift
        /// let reader = ConfigReader(provider: EnvironmentVariablesProvider()).scoped(to: "memcached")
        /// // MEMCACHED_REQUEST_TIMEOUT=0.2, MEMCACHED_ON_FAILURE=miss
        /// let configuration = try ConnectionConfiguration(reader: reader)
        /// ```
        ///
        /// | key | takes |
        /// | --- | --- |
        /// | `onFailure` | `miss` or `throw` |
        /// | `connectTimeout`, `requestTimeout` | seconds, more than 0; parts of one may follow a point |
        /// | `idleTimeout` | the same, or 0 for never |
        /// | `backoff.initial`, `backoff.longest` | seconds, 0 or more |
        /// | `backoff.jitter` | a number from 0 to 1 |
        /// | `valueBytesMax` | a whole number of bytes, 1 or more |
        /// | `dialect` | `meta` or `binary`; where somebody logs in, the login decides |
        /// | `authentication.user`, `authentication.password` | texts, both or neither; the password is read as a secret |
        /// | `authentication.method` | `ascii` or `sasl`; without it `ascii` |
        /// | `tls.enabled` | `true` or `false`; without it the other keys of TLS are an error |
        /// | `tls.serverName` | what the certificate has to say instead of the address's host |
        /// | `tls.verification` | `full`, `noHostname` or `none` |
        /// | `tls.trustRoots` | the path of a PEM file with the authorities that are trusted, instead of the system's |
        /// | `tls.certificateChain`, `tls.privateKey` | the paths of PEM files that say who the client is, both or neither |
        ///
        /// - Throws: `CacheError` with the code `badConfiguration`, which names the key, what it says and what it takes.
        public init(reader: ConfigReader) throws(CacheError) {
            self.init()
            let settings = SettingReader(reader: reader)
            onFailure =
                try settings.choice("onFailure", [("miss", FailurePolicy.miss), ("throw", .throw)])
                ?? onFailure
            connectTimeout = try settings.seconds("connectTimeout") ?? connectTimeout
            requestTimeout = try settings.seconds("requestTimeout") ?? requestTimeout
            if let idle = try settings.seconds("idleTimeout", allowsZero: true) {
                idleTimeout = idle == .zero ? nil : idle
            }
            backoff.initial = try settings.seconds("backoff.initial", allowsZero: true) ?? backoff.initial
            backoff.longest = try settings.seconds("backoff.longest", allowsZero: true) ?? backoff.longest
            backoff.jitter = try settings.part("backoff.jitter") ?? backoff.jitter
            valueBytesMax = try settings.number("valueBytesMax", in: 1...1 << 40) ?? valueBytesMax
            dialect =
                try settings.choice("dialect", [("meta", Dialect.meta), ("binary", .binary)]) ?? dialect
            authentication = try settings.authentication()
            security = try settings.security()
        }
    }

    extension SettingReader {
        fileprivate func authentication() throws(CacheError) -> Authentication? {
            let (user, password) = try both(
                "authentication.user", "authentication.password", secondIsSecret: true)
            let isSASL = try choice("authentication.method", [("ascii", false), ("sasl", true)])
            guard let user, let password else {
                guard isSASL == nil else {
                    throw wrong("authentication.user", "missing", "a text, as there is authentication.method")
                }
                return nil
            }
            return isSASL == true
                ? .sasl(user: user, password: password) : .ascii(user: user, password: password)
        }

        fileprivate func security() throws(CacheError) -> TransportSecurity {
            guard try truth("tls.enabled") == true else {
                for key in ["serverName", "verification", "trustRoots", "certificateChain", "privateKey"] {
                    guard try text("tls.\(key)") == nil else {
                        throw wrong("tls.enabled", "not true", "true where there is tls.\(key)")
                    }
                }
                return .plain
            }
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.certificateVerification =
                try choice(
                    "tls.verification",
                    [
                        ("full", CertificateVerification.fullVerification),
                        ("noHostname", .noHostnameVerification), ("none", .none),
                    ])
                ?? .fullVerification
            let roots = try text("tls.trustRoots")
            if let roots { tls.trustRoots = .file(roots) }
            try addClientCertificate(&tls)
            let serverName = try text("tls.serverName")
            do {
                return try TransportSecurity.tls(tls, serverName: serverName)
            } catch {
                throw wrong(
                    "tls.trustRoots", roots?.debugDescription ?? "not given",
                    "the path of a PEM file with certificates", underlying: error)
            }
        }

        private func addClientCertificate(_ tls: inout TLSConfiguration) throws(CacheError) {
            let (chain, privateKey) = try both("tls.certificateChain", "tls.privateKey")
            guard let chain, let privateKey else { return }
            do {
                tls.certificateChain = try NIOSSLCertificate.fromPEMFile(chain).map { .certificate($0) }
            } catch {
                throw wrong(
                    "tls.certificateChain", chain.debugDescription,
                    "the path of a PEM file with certificates",
                    underlying: error)
            }
            do {
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: privateKey, format: .pem))
            } catch {
                throw wrong(
                    "tls.privateKey", privateKey.debugDescription, "the path of a PEM file with a key",
                    underlying: error)
            }
        }

        /// Two texts of which neither says anything without the other.
        private func both(
            _ first: String, _ second: String, secondIsSecret: Bool = false
        ) throws(CacheError) -> (String?, String?) {
            let values = (try text(first), try text(second, isSecret: secondIsSecret))
            if values.0 != nil, values.1 == nil {
                throw wrong(second, "missing", "a text, as there is \(first)")
            }
            if values.0 == nil, values.1 != nil {
                throw wrong(first, "missing", "a text, as there is \(second)")
            }
            return values
        }
    }
#endif
