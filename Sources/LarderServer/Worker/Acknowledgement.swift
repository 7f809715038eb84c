import Glibc

extension WorkerHandle {
    /// Tells the client's system at once that the first bytes of a request have arrived. A client without TCP_NODELAY
    /// that sends a request in two pieces sends the second when the first is acknowledged; the system would wait 40 ms
    /// for an answer to send the acknowledgement with.
    @inline(never)
    func acknowledge(_ client: ClientHandle) {
        guard !client.pointee.isUnixSocket else { return }
        var isOn: Int32 = 1
        // SAFETY: the call reads the local number.
        setsockopt(client.pointee.fd, Int32(IPPROTO_TCP), TCP_QUICKACK, &isOn, socklen_t(MemoryLayout<Int32>.size))
    }
}
