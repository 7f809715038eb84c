import Glibc
import LarderEventLoop

/// A UDP socket as the worker that serves it keeps it: at a fixed address, which the event loop knows.
struct DatagramPort: Watched {
    var watch = WatchStorage()
    let socket: DatagramSocket
    let worker: WorkerHandle
    let buffer: UnsafeMutableRawBufferPointer

    /// The largest datagram that there is.
    static let bufferBytes = 64 << 10
}

/// SAFETY: the context is the port, whose watch is taken off the loop before it is freed.
private func datagramsAreReady(_ fd: Int32, _ ready: Int16, _ context: UnsafeMutableRawPointer?) {
    guard let port = DatagramPortHandle(context: context) else { return }
    let worker = port.pointee.worker
    worker.beginTurn()
    worker.serveDatagrams(port)
}

extension WorkerHandle {
    /// Takes a UDP socket in.
    func adopt(_ socket: DatagramSocket) {
        guard let buffer = malloc(DatagramPort.bufferBytes) else {
            Glibc.close(socket.fd)
            return
        }
        let port = DatagramPortHandle(
            DatagramPort(
                socket: socket, worker: self,
                buffer: UnsafeMutableRawBufferPointer(start: buffer, count: DatagramPort.bufferBytes)))
        pointee.datagramPorts.append(port)
        pointee.connectionTable.set(socket.fd, .datagrams, atMilliseconds: pointee.context.now)
        let watch = port.watch
        watch.assign(
            to: pointee.loop.takeUnretainedValue(), fd: socket.fd, interest: .read, handler: datagramsAreReady,
            context: port.context)
        watch.add()
    }

    func closeDatagramPorts() {
        for port in pointee.datagramPorts {
            port.watch.remove()
            pointee.connectionTable.clear(port.pointee.socket.fd)
            Glibc.close(port.pointee.socket.fd)
            free(port.pointee.buffer.baseAddress)
            port.deallocate()
        }
        pointee.datagramPorts = []
    }

    /// Some of the datagrams that wait; the loop calls again while there are more, after other events.
    fileprivate func serveDatagrams(_ port: DatagramPortHandle) {
        let socket = port.pointee.socket
        let buffer = port.pointee.buffer
        for _ in 0..<pointee.context.requestsPerEventMax {
            var sender = sockaddr_storage()
            var senderLength = socklen_t(MemoryLayout<sockaddr_storage>.size)
            let count = withUnsafeMutablePointer(to: &sender) { pointer in
                // SAFETY: the kernel writes at most the lengths given; sockaddr_storage holds any address.
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(socket.fd, buffer.baseAddress, buffer.count, 0, $0, &senderLength)
                }
            }
            if count < 0, errno == EINTR { continue }
            // An error of an answer sent before (nobody listens there) shows here too, once.
            guard count >= 0 else { return }
            pointee.connectionTable.set(socket.fd, .datagrams, atMilliseconds: pointee.context.now)
            let datagram = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            let outcome = DatagramService.answer(
                datagram, isGuarded: socket.isGuarded, socket.bindingProtocol, &pointee.context)
            switch outcome {
            case .silence: break
            case .dropped: pointee.context.counters.add(.udpRequestsDropped)
            case .withheld: pointee.context.counters.add(.udpRepliesWithheld)
            case .answer(let datagrams): send(datagrams, by: socket.fd, to: &sender, senderLength)
            }
        }
    }

    /// As far as the socket takes them: nobody waits for a client of whom nothing is known.
    private func send(
        _ datagrams: [[UInt8]], by fd: Int32, to sender: inout sockaddr_storage, _ senderLength: socklen_t
    ) {
        withUnsafePointer(to: &sender) { pointer in
            // SAFETY: it is the address that the kernel wrote, of the length that it said.
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                for datagram in datagrams {
                    let count = sendto(fd, datagram, datagram.count, 0, address, senderLength)
                    guard count == datagram.count else {
                        pointee.context.counters.add(.udpRepliesWithheld)
                        return
                    }
                    pointee.context.counters.add(.bytesWritten, Int64(count))
                }
            }
        }
    }
}
