import CLarderTLS

/// One connection's side of TLS, over a socket that does not block: the operations on an OpenSSL session.
///
/// A trivial value, so that a connection can hold it without a reference count; whoever holds it frees it.
/// After `.failed` and `.closed` nothing but `free` may be called.
package struct TLSSession {
    /// What a step came to.
    package enum Outcome: Equatable {
        /// So many bytes were read or written; 0 for a handshake that is done.
        case done(Int)
        /// To be tried again once the socket has bytes.
        case wantsRead
        /// To be tried again once the socket takes bytes.
        case wantsWrite
        /// The client has ended the connection.
        case closed
        /// The client did not keep to the protocol or did not convince: OpenSSL's number for it.
        case failed(UInt)
    }

    let ssl: OpaquePointer

    init(_ ssl: OpaquePointer) { self.ssl = ssl }

    /// The most bytes that one record holds.
    package static let recordBytesMax = 16 << 10

    /// Continues a server's handshake. A complete handshake fails if the server needs a certificate and the client has
    /// shown none: OpenSSL does not ask for it when a session is resumed.
    package func handshake() -> Outcome {
        let outcome = shaken(larder_tls_accept(ssl))
        guard outcome == .done(0) else { return outcome }
        let error = larder_tls_peer_error(ssl)
        return error == 0 ? outcome : .failed(error)
    }

    /// Goes on with a client's.
    package func clientHandshake() -> Outcome { shaken(larder_tls_connect(ssl)) }

    private func shaken(_ result: Int32) -> Outcome { result == 1 ? .done(0) : outcome(of: result) }

    /// Reads at most `count` bytes, which is more than 0.
    package func read(into bytes: UnsafeMutableRawPointer, count: Int) -> Outcome {
        let result = larder_tls_read(ssl, bytes, Int32(clamping: count))
        return result > 0 ? .done(Int(result)) : outcome(of: result)
    }

    /// Writes some of `count` bytes, which is more than 0. After `.wantsRead` or `.wantsWrite` the next call must
    /// begin with the same bytes, wherever they lie then, and have as many or more.
    package func write(_ bytes: UnsafeRawPointer, count: Int) -> Outcome {
        let result = larder_tls_write(ssl, bytes, Int32(clamping: count))
        return result > 0 ? .done(Int(result)) : outcome(of: result)
    }

    /// Whether bytes were taken from the socket that are not read yet: the socket does not tell of them any
    /// more. They may be half a record, and reading them then comes to `.wantsRead`.
    package var hasPending: Bool { larder_tls_has_pending(ssl) }

    /// Whether the handshake took up an earlier session instead of beginning anew.
    package var isResumed: Bool { larder_tls_is_resumed(ssl) }

    /// Whether the server asks the client for a certificate.
    package var asksCertificate: Bool { larder_tls_asks_certificate(ssl) }

    /// Says good-bye, as far as the socket takes it.
    package func close() { larder_tls_shutdown(ssl) }

    package func free() { larder_tls_session_free(ssl) }

    private func outcome(of result: Int32) -> Outcome {
        var error: UInt = 0
        switch larder_tls_outcome_of(ssl, result, &error) {
        case LARDER_TLS_WANTS_READ: return .wantsRead
        case LARDER_TLS_WANTS_WRITE: return .wantsWrite
        case LARDER_TLS_FAILED: return .failed(error)
        default: return .closed
        }
    }

    /// OpenSSL's words for the number of `.failed`.
    package static func describe(_ error: UInt) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
            // SAFETY: at most the given length is written, its end mark included.
            larder_tls_describe(error, text.baseAddress, text.count)
            return text.baseAddress.map { String(cString: $0) } ?? ""
        }
    }
}
