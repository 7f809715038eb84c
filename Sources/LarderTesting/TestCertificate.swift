/// A certificate that signs itself, made with the `openssl` program, for tests of a whole run.
package struct TestCertificate: Sendable {
    package let chainPath: String
    package let keyPath: String

    /// Made when first asked for.
    package static let shared = Result { try TestCertificate() }

    /// memcached's options for a server that shows it.
    package var serverOptions: [String] { ["-Z", "-o", "ssl_chain_cert=\(chainPath),ssl_key=\(keyPath)"] }

    package init() throws {
        let directory = try TestDirectory.make()
        chainPath = directory + "/server.pem"
        keyPath = directory + "/server.key"
        let openssl = try ChildProcess(
            executable: "/usr/bin/env",
            arguments: [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "2", "-subj", "/CN=localhost", "-keyout", keyPath, "-out", chainPath,
            ],
            environment: [:], outputPath: "/dev/null")
        openssl.awaitEnd()
        guard openssl.hasSucceeded else {
            throw ServerStartError(description: "openssl could not make a certificate")
        }
    }
}
