import NIOCore

/// Requests for many keys.
///
/// They go out in pieces, of which a few are on their way at a time. So a request that comes later waits for those
/// few, and not for all; and each piece has the time for an answer to itself.
extension MemcacheConnection {
    /// How many commands a piece has at most.
    static let pieceCommandsMax = 250
    /// A piece with so many bytes ends.
    static let pieceBytesMax = 256 << 10
    /// How many pieces are on their way: one is answered while the other is read.
    static let piecesAhead = 2

    /// Sends a command for each item, in order, and waits for all of their answers. When one cannot be encoded, none
    /// is sent.
    func answers<Item>(
        to items: [Item], _ encode: (inout any RequestEncoder, Item) throws -> Void
    ) async throws -> [Answer] {
        var pieces: [PendingBatch] = []
        var encoder = encoder(commandCount: min(items.count, Self.pieceCommandsMax))
        var count = 0
        for (place, item) in items.enumerated() {
            if count == Self.pieceCommandsMax || encoder.bytes.readableBytes >= Self.pieceBytesMax {
                pieces.append(PendingBatch(encoder))
                encoder = self.encoder(commandCount: min(items.count - place, Self.pieceCommandsMax))
                count = 0
            }
            try encode(&encoder, item)
            count += 1
        }
        let last = PendingBatch(encoder)
        if pieces.isEmpty { return try await last.answers(submit) }
        pieces.append(last)
        return try await inTurn(pieces, answerCount: items.count)
    }

    private func inTurn(_ pieces: [PendingBatch], answerCount: Int) async throws -> [Answer] {
        var answers: [Answer] = []
        answers.reserveCapacity(answerCount)
        var sentCount = 0
        // After an error or a cancellation nobody wants the answers of what is on its way.
        defer { for piece in pieces[..<sentCount] { piece.finish(.failure(CancellationError())) } }
        for (place, piece) in pieces.enumerated() {
            while sentCount < min(pieces.count, place + Self.piecesAhead) {
                submit(pieces[sentCount])
                sentCount += 1
            }
            answers += try await piece.answers()
        }
        return answers
    }
}
