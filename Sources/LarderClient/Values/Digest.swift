internal import CLarderDigest

/// Digests of the system's OpenSSL. NIO's own copy of BoringSSL shows none, and another copy takes two minutes to build.
enum Digest {
    /// MD5 (RFC 1321), 16 bytes.
    static func md5(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, count: 16, larder_md5) }

    /// SHA-256 (FIPS 180-4), 32 bytes.
    static func sha256(_ bytes: [UInt8]) -> [UInt8] { digest(bytes, count: 32, larder_sha256) }

    private static func digest(
        _ bytes: [UInt8], count: Int, _ function: (UnsafeRawPointer?, Int, UnsafeMutablePointer<UInt8>?) -> Int32
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { digest, written in
            // SAFETY: the function reads `bytes.count` bytes and writes `count`, as its header says.
            let isThere = bytes.withUnsafeBytes { function($0.baseAddress, $0.count, digest.baseAddress) } != 0
            precondition(isThere, "OpenSSL on this system has neither MD5 nor SHA-256")
            written = count
        }
    }
}
