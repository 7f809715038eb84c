import LarderTLS

/// `-o ssl_...`, with memcached's checks and words.
extension ExtendedOption {
    static let tls: [ExtendedOption] = [
        text("ssl_chain_cert") { $0.tls.chainPath = $1 },
        text("ssl_key") { $0.tls.keyPath = $1 },
        text("ssl_ciphers") { $0.tls.ciphers = $1 },
        text("ssl_ca_cert") { $0.tls.authorityPath = $1 },
        number("ssl_verify_mode") { settings, number throws(Ending) in
            guard let mode = TLSConfiguration.VerifyMode(rawValue: number) else {
                throw .badValue("Invalid ssl_verify_mode. Use help to see valid options.")
            }
            settings.tls.verifyMode = mode
        },
        number("ssl_min_version") { settings, number throws(Ending) in
            guard let version = TLSConfiguration.Version(rawValue: number) else {
                throw .badValue("Invalid ssl_min_version. Use help to see valid options.")
            }
            settings.tls.minVersion = version
        },
        number("ssl_keyformat") { settings, number throws(Ending) in
            guard number == 1 || number == 2 else {
                throw .badValue("Invalid ssl_keyformat: 1 is PEM, 2 is DER.")
            }
            settings.tls.keyFormat = Int32(number)
        },
        number("ssl_wbuf_size") { settings, number throws(Ending) in
            guard (1...1 << 20).contains(number) else {
                throw .badValue("-o ssl_wbuf_size takes a number of kilobytes, 16 for a whole record.")
            }
            settings.tlsWriteBufferBytes = number << 10
        },
        option("ssl_session_cache") { draft, _ in draft.settings.tls.sessionCacheEnabled = true },
        option("ssl_kernel_tls") { draft, _ in draft.settings.tls.kernelTLSEnabled = true },
    ]

    private static func text(
        _ name: String, _ set: @escaping @Sendable (inout Settings, String) -> Void
    ) -> ExtendedOption {
        option(name) { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing \(name) argument") }
            set(&draft.settings, text)
        }
    }

    private static func number(
        _ name: String, _ set: @escaping @Sendable (inout Settings, Int) throws(Ending) -> Void
    ) -> ExtendedOption {
        option(name) { draft, text throws(Ending) in
            guard let text else { throw .badValue("Missing \(name) argument") }
            let number = LeadingInteger(text)
            guard number.isWhole else { throw .badValue("could not parse argument to \(name)") }
            try set(&draft.settings, number.value)
        }
    }
}
