import Foundation

/// A certificate that signs itself, made with the `openssl` program, for tests of a whole run.
package struct TestCertificate: Sendable {
    package let chainPath: String
    package let keyPath: String

    /// Made when first asked for.
    package static let shared = Result { try TestCertificate() }

    /// memcached's options for a server that shows it.
    package var serverOptions: [String] { ["-Z", "-o", "ssl_chain_cert=\(chainPath),ssl_key=\(keyPath)"] }

    package init() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "larder-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        chainPath = directory.appending(path: "server.pem").path
        keyPath = directory.appending(path: "server.key").path
        let openssl = Process()
        openssl.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        openssl.arguments = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-keyout", keyPath, "-out", chainPath,
        ]
        openssl.standardInput = FileHandle.nullDevice
        openssl.standardOutput = FileHandle.nullDevice
        openssl.standardError = FileHandle.nullDevice
        try openssl.run()
        openssl.waitUntilExit()
        guard openssl.terminationStatus == 0 else {
            throw ServerStartError(description: "openssl could not make a certificate")
        }
    }
}
