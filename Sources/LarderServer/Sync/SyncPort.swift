import Glibc
import LarderEventLoop
import LarderStore
import LarderWire

/// A UDP socket that receives the changes of other servers, with the state of the worker that serves it. It has a fixed
/// address, because the event loop has a pointer to it.
struct SyncPort: Watched {
    var watch = WatchStorage()
    let socket: SyncSocket
    let sync: CacheSync
    let cacheNumber: Int
    let worker: WorkerHandle
    let buffer: UnsafeMutableRawBufferPointer
}

/// SAFETY: the context is the port, whose watch is taken off the loop before it is freed.
private func changesAreReady(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let port = SyncPortHandle(context: context) else { return }
    let worker = port.pointee.worker
    worker.beginTurn()
    worker.receiveChanges(port)
}

extension WorkerHandle {
    /// Serves a socket that receives the changes of other servers for a cache.
    func adopt(_ socket: SyncSocket, of sync: CacheSync, cacheNumber: Int) {
        guard let buffer = malloc(DatagramPort.bufferBytes) else { return }
        let port = SyncPortHandle(
            SyncPort(
                socket: socket, sync: sync, cacheNumber: cacheNumber, worker: self,
                buffer: UnsafeMutableRawBufferPointer(start: buffer, count: DatagramPort.bufferBytes)))
        pointee.syncPorts.append(port)
        pointee.connectionTable.set(socket.fd, .datagrams, atMilliseconds: pointee.context.now)
        let watch = port.watch
        watch.assign(
            to: pointee.loop.takeUnretainedValue(), fd: socket.fd, interest: .read, handler: changesAreReady,
            context: port.context)
        watch.add()
    }

    func closeSyncPorts() {
        for port in pointee.syncPorts {
            port.watch.remove()
            pointee.connectionTable.clear(port.pointee.socket.fd)
            free(port.pointee.buffer.baseAddress)
            port.deallocate()
        }
        pointee.syncPorts = []
    }

    /// Receives at most `-R` datagrams. If more wait, the loop calls this again after other events.
    fileprivate func receiveChanges(_ port: SyncPortHandle) {
        let sync = port.pointee.sync
        let buffer = port.pointee.buffer
        pointee.context.select(port.pointee.cacheNumber)
        pointee.context.readClock()
        // The changes of clients are sent first, because no changes are noted during the reception.
        pointee.context.sendChanges()
        pointee.context.session.pauseChanges(true)
        for _ in 0..<pointee.context.requestsPerEventMax {
            var sender = sockaddr_storage()
            var senderLength = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let fd = port.pointee.socket.fd
            let (count, address) = withUnsafeMutablePointer(to: &sender) { pointer in
                // SAFETY: the kernel writes at most the lengths given; sockaddr_storage holds any address.
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    let count = recvfrom(fd, buffer.baseAddress, buffer.count, 0, $0, &senderLength)
                    return (count, SocketAddress($0, length: Int(senderLength)))
                }
            }
            guard count >= 0 else { break }
            pointee.connectionTable.set(fd, .datagrams, atMilliseconds: pointee.context.now)
            guard sync.accepts(address) else {
                sync.count(.refused)
                continue
            }
            let datagram = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            sync.count(pointee.context.carryOut(datagram, from: address, sync))
        }
        pointee.context.session.pauseChanges(false)
    }
}

extension WorkerContext {
    /// Carries out a change of another server. Changes are not noted meanwhile, so that it is not sent again.
    /// - Returns: the counter for the datagram.
    fileprivate mutating func carryOut(
        _ datagram: UnsafeRawBufferPointer, from sender: SocketAddress, _ sync: CacheSync
    ) -> SyncCounter {
        guard let message = SyncDatagram(datagram), let base = datagram.baseAddress else { return .malformed }
        if message.kind == .greeting {
            sync.node(at: sender)?.noteGreeting(now: now)
            return .received
        }
        // While a file is read, its older items could replace a change that is stored now.
        guard !waitsForStore else { return .dropped }
        switch message.kind {
        case .greeting: break
        case .clear:
            guard state.settings.flushEnabled else { return .refused }
            if message.time > now { session.flush(atMilliseconds: message.time) } else { session.flush() }
        case .store, .delete:
            guard message.keyLength <= limits.keyBytesMax else { return .dropped }
            // uWSGI's `clear` sends an empty key, which has no effect there, either.
            guard message.keyLength > 0 else { return .received }
            // SAFETY: offsets and lengths lie inside the datagram.
            let key = session.hashed(base + message.keyStart, length: message.keyLength)
            guard message.kind == .store else {
                _ = session.delete(key, now: now)
                return .received
            }
            let result = session.store(
                .set, key, value: base + message.valueStart, valueLength: message.valueLength,
                clientFlags: message.clientFlags, expiry: SyncExpiry.milliseconds(message.time, now: now), now: now)
            return result.outcome == .stored ? .received : .dropped
        }
        return .received
    }
}
