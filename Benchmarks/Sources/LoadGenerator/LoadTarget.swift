import CBenchSystem
import CBenchTLS
import Glibc

/// The server under test, found once: its address, and how to speak TLS with it.
///
/// SAFETY: OpenSSL's contexts may be used by any thread once they are set up, and this one is never changed;
/// it lives until the process ends.
struct LoadTarget: @unchecked Sendable {
    var address = bench_address()
    let tls: OpaquePointer?

    init(_ options: Options) throws(BenchError) {
        tls = try options.tls.map(makeContext)
        let code =
            options.unixSocket.map { bench_unix_address($0, &address) }
            ?? bench_resolve(options.host, options.port, options.addressFamily, &address)
        guard code == 0 else {
            let reason =
                code <= -1000 ? String(cString: gai_strerror(code + 1000)) : String(cString: strerror(errno))
            throw BenchError(message: "cannot connect to \(options.place): \(reason)")
        }
    }
}

private func makeContext(_ tls: Options.TLS) throws(BenchError) -> OpaquePointer {
    var reason = [CChar](repeating: 0, count: 512)
    let context = bench_tls_context_new(
        tls.authorities, tls.certificate, tls.key, tls.verifies ? 1 : 0, &reason, reason.count)
    guard let context else { throw BenchError(message: text(of: reason)) }
    return context
}

/// What C has written into a buffer.
func text(of buffer: [CChar]) -> String {
    String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
