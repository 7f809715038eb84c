import Glibc
import LarderStore
import LarderWire

/// Answers requests that come in one datagram each. Nothing is kept from one to the next: each has a
/// connection of its own, and what it left unfinished is forgotten.
enum DatagramService {
    /// An answer longer than this is not sent: a client would hardly receive all of its datagrams.
    static let answerBytesMax = 4 << 20

    enum Outcome: Equatable {
        /// The datagrams of the answer, in order.
        case answer([[UInt8]])
        /// Nothing to say: the request wants no answer, or is not whole.
        case silence
        /// The request is none that is served over UDP.
        case dropped
        /// There is an answer, which must not or cannot be sent.
        case withheld
    }

    /// Carries out what a datagram asks.
    ///
    /// - Parameter isGuarded: whether the answer must be smaller than the datagram. Smaller, and not just as
    ///   large, since two servers would else answer each other's errors for ever.
    static func answer(
        _ datagram: UnsafeRawBufferPointer, isGuarded: Bool, _ bindingProtocol: Settings.BindingProtocol?,
        _ context: inout WorkerContext
    ) -> Outcome {
        guard let header = DatagramHeader(request: datagram) else { return .dropped }
        let payload = UnsafeRawBufferPointer(rebasing: datagram[DatagramHeader.length...])
        let damages = StoreDamage.count
        guard let bytes = exchange(payload, bindingProtocol, &context) else { return .withheld }
        if bytes.isEmpty { return .silence }
        guard let total = DatagramHeader.datagramCount(forAnswerOf: bytes.count) else { return .withheld }
        if isGuarded, bytes.count + Int(total) * DatagramHeader.length >= datagram.count { return .withheld }
        let datagrams = (0..<total).map { sequence in
            let start = Int(sequence) * DatagramHeader.payloadBytesMax
            let end = min(bytes.count, start + DatagramHeader.payloadBytesMax)
            let head = DatagramHeader(requestID: header.requestID, sequence: sequence, total: total)
            return head.bytes + bytes[start..<end]
        }
        // As over a connection, an answer that may be out of a damaged store is not sent.
        return StoreDamage.count == damages || !context.hasFiles ? .answer(datagrams) : .withheld
    }

    /// What a connection that got these bytes would have answered; nil when that is too much.
    private static func exchange(
        _ payload: UnsafeRawBufferPointer, _ bindingProtocol: Settings.BindingProtocol?,
        _ context: inout WorkerContext
    ) -> [UInt8]? {
        var connection = Connection(number: -1, bindingProtocol, context)
        defer {
            if connection.timed.since != 0 { connection.recordTimed(&context) }
            connection.dispose(&context)
        }
        var answer: [UInt8] = []
        var offset = 0
        while offset < payload.count {
            guard let room = connection.inputRoom(&context), room.count > 0 else { return answer }
            let count = min(room.count, payload.count - offset)
            room.copyMemory(from: UnsafeRawBufferPointer(rebasing: payload[offset..<offset + count]))
            offset += count
            connection.didRead(count, &context)
            var goesOn = true
            while goesOn {
                let action = connection.advance(&context)
                guard !connection.output.isSpoiled else { return nil }
                take(&connection, &context, into: &answer)
                guard answer.count <= answerBytesMax else { return nil }
                switch action {
                case .send, .yield: break
                case .read: goesOn = false
                case .close: return answer
                // The store is not ready yet, and a datagram does not wait. There is no login over UDP.
                case .park, .holdLogin, .holdWrite: return nil
                }
                // A list that takes more than one share, and one without an end, are for connections.
                if connection.phase == .streaming { return Array("ERROR\r\n".utf8) }
            }
        }
        return answer
    }

    private static func take(
        _ connection: inout Connection, _ context: inout WorkerContext, into answer: inout [UInt8]
    ) {
        while !connection.output.isEmpty {
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: Output.vectorsMax) { vectors in
                guard let start = vectors.baseAddress else { return }
                var taken = 0
                for number in 0..<connection.output.gather(start) {
                    answer += UnsafeRawBufferPointer(start: vectors[number].iov_base, count: vectors[number].iov_len)
                    taken += vectors[number].iov_len
                }
                connection.output.didSend(taken, context.session)
            }
        }
        connection.output.reset(&context.pool)
    }
}
