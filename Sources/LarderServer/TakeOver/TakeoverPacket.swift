import CLarderSystem
import Glibc

/// A message between a server and its successor: docs/take-over.md lists them.
struct TakeoverPacket {
    enum Kind: UInt16 {
        /// From the successor: its version and its caches.
        case hello = 1
        /// The sockets, the arenas, and what else the successor needs to prepare itself.
        case offer = 2
        /// From the successor: it is prepared.
        case ready = 3
        /// A store of the server is closed; its numbers.
        case closed = 4
        /// From the successor: it has all numbers.
        case taken = 5
        /// The stores are the successor's.
        case yours = 6
        /// Clients without a request in progress.
        case clients = 7
        /// There is no take-over; a sentence with the reason. The server serves as before.
        case refused = 8
    }

    var kind: Kind
    var body = PacketWriter()
    var descriptors: [Int32] = []

    static let magic: UInt32 = 0x4F4B_544C
    static let version: UInt16 = 1
    static let headerBytes = 8
    /// The largest packet. The system's limit is 208 KB.
    static let bytesMax = 128 << 10
    static var descriptorsMax: Int { Int(larder_descriptors_max) }
}

/// Why there is no take-over: a part of a sentence.
struct TakeoverFailure: Error, Equatable {
    let reason: String

    static let ended = TakeoverFailure(reason: "the other process has ended")
}

/// Numbers and texts, one after another. Numbers are little-endian.
struct PacketWriter {
    private(set) var bytes: [UInt8] = []

    mutating func add<Number: FixedWidthInteger>(_ number: Number) {
        withUnsafeBytes(of: number.littleEndian) { bytes += $0 }
    }

    /// At most 64 KB of it.
    mutating func add(_ text: String) {
        let text = text.utf8.prefix(Int(UInt16.max))
        add(UInt16(text.count))
        bytes += text
    }
}

/// Reads what a `PacketWriter` has written. Nil: the packet is too short.
struct PacketReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    var isAtEnd: Bool { rest.isEmpty }
    var bytesLeft: Int { rest.count }

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type = Number.self) -> Number? {
        let size = MemoryLayout<Number>.size
        guard rest.count >= size else { return nil }
        var value = Number.zero
        withUnsafeMutableBytes(of: &value) { $0.copyBytes(from: rest.prefix(size)) }
        rest = rest.dropFirst(size)
        return Number(littleEndian: value)
    }

    mutating func text() -> String? {
        guard let count = number(UInt16.self), rest.count >= Int(count) else { return nil }
        defer { rest = rest.dropFirst(Int(count)) }
        return String(decoding: rest.prefix(Int(count)), as: UTF8.self)
    }
}

/// A packet that has arrived. Its descriptors are the receiver's.
struct ReceivedPacket {
    let kind: TakeoverPacket.Kind
    var body: PacketReader
    let descriptors: [Int32]

    func closeDescriptors() { for descriptor in descriptors { close(descriptor) } }
}

/// The connection between a server and its successor. It is closed with the last reference to it.
final class TakeoverChannel: Sendable {
    let fd: Int32
    /// The process at the other end.
    let process: Int64

    private static let sendMilliseconds: Int64 = 2_000

    /// The channel closes the descriptor.
    init(_ fd: Int32) {
        self.fd = fd
        process = larder_peer_process(fd)
        _ = larder_set_send_timeout(fd, Self.sendMilliseconds)
    }

    deinit { close(fd) }

    func send(_ packet: TakeoverPacket) throws(TakeoverFailure) {
        var writer = PacketWriter()
        writer.add(TakeoverPacket.magic)
        writer.add(TakeoverPacket.version)
        writer.add(packet.kind.rawValue)
        let bytes = writer.bytes + packet.body.bytes
        guard bytes.count <= TakeoverPacket.bytesMax else {
            throw TakeoverFailure(reason: "a message of \(bytes.count) bytes is too long")
        }
        let descriptors = packet.descriptors
        guard larder_send_packet(fd, bytes, bytes.count, descriptors, Int32(clamping: descriptors.count)) else {
            throw errno == EPIPE || errno == ECONNRESET
                ? .ended : TakeoverFailure(reason: "a message was not sent: \(describe(error: errno))")
        }
    }

    /// Tells the other server why there is no take-over. It may have ended.
    func refuse(_ reason: String) {
        var packet = TakeoverPacket(kind: .refused)
        packet.body.add(reason)
        do throws(TakeoverFailure) { try send(packet) } catch {}
    }

    /// The next packet.
    /// - Parameter time: nil waits as long as the other server lives.
    /// - Throws: also the reason of a `refused` packet.
    func receive(withinMilliseconds time: Int64?) throws(TakeoverFailure) -> ReceivedPacket {
        try awaitPacket(time)
        var bytes = [UInt8](repeating: 0, count: TakeoverPacket.bytesMax)
        var descriptors = [Int32](repeating: -1, count: TakeoverPacket.descriptorsMax)
        var descriptorCount: Int32 = 0
        let count = larder_receive_packet(fd, &bytes, bytes.count, &descriptors, &descriptorCount)
        if count == 0 { throw .ended }
        guard count > 0 else {
            throw errno == ECONNRESET
                ? .ended : TakeoverFailure(reason: "a message did not arrive: \(describe(error: errno))")
        }
        let taken = Array(descriptors.prefix(Int(descriptorCount)))
        do throws(TakeoverFailure) {
            return try Self.packet(bytes.prefix(count), taken)
        } catch {
            for descriptor in taken { close(descriptor) }
            throw error
        }
    }

    private static func packet(
        _ bytes: ArraySlice<UInt8>, _ descriptors: [Int32]
    ) throws(TakeoverFailure) -> ReceivedPacket {
        var reader = PacketReader(bytes)
        guard let magic = reader.number(UInt32.self), magic == TakeoverPacket.magic,
            let version = reader.number(UInt16.self), let number = reader.number(UInt16.self)
        else { throw TakeoverFailure(reason: "the other end is not a Larder server") }
        guard version == TakeoverPacket.version else {
            throw TakeoverFailure(
                reason: "its take-over protocol has version \(version), and this server's has \(TakeoverPacket.version)"
            )
        }
        guard let kind = TakeoverPacket.Kind(rawValue: number) else {
            throw TakeoverFailure(reason: "it sent an unknown message, \(number)")
        }
        if kind == .refused { throw TakeoverFailure(reason: reader.text() ?? "no reason was given") }
        return ReceivedPacket(kind: kind, body: reader, descriptors: descriptors)
    }

    private func awaitPacket(_ time: Int64?) throws(TakeoverFailure) {
        let deadline = time.map { larder_milliseconds(false) + $0 }
        while true {
            let left = deadline.map { Int32(clamping: max(0, $0 - larder_milliseconds(false))) } ?? -1
            var polled = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
            let count = poll(&polled, 1, left)
            if count > 0 { return }
            if count < 0, errno != EINTR { throw TakeoverFailure(reason: describe(error: errno)) }
            if count == 0, let time {
                throw TakeoverFailure(reason: "there was no answer in \(time) ms")
            }
        }
    }

    /// The next packet, which must be of this kind.
    func receive(_ kind: TakeoverPacket.Kind, withinMilliseconds time: Int64?) throws(TakeoverFailure)
        -> ReceivedPacket
    {
        let packet = try receive(withinMilliseconds: time)
        guard packet.kind == kind else {
            packet.closeDescriptors()
            throw TakeoverFailure(reason: "message \(packet.kind.rawValue) came in place of \(kind.rawValue)")
        }
        return packet
    }
}
