/// What one call of a parser came to.
package enum ParseStep: UInt8, Sendable {
    /// The request is filled and the cursor is past it, its value and the `\r\n` behind
    /// that included.
    case request
    /// Sets are in the record that the parser was given, `taken.count` of them; the cursor is past them and their values.
    case sets
    /// Keys that are asked for are in the record that the parser was given, and what they have in common is in its
    /// `taken`; the cursor is past them.
    case retrieval
    /// A `.store` request is parsed, and its value is not all in the buffer yet. The request is
    /// filled but for the value itself, and the cursor stands at `valueStart`. The
    /// connection takes the next `valueLength` bytes of input, and in text two more: it answers
    /// `.badDataChunk` when those are not `\r\n`.
    case value
    /// There is no whole request yet; the cursor has not moved.
    case needMore
    /// The request is wrong. Its reply and what to do next are in the parser's `rejection`;
    /// the cursor is past what was read of it.
    case reject
    /// Close the connection without a word.
    case close
}

/// The answer to a request that cannot be carried out, beside `ParseStep.reject`.
package struct Rejection: Sendable, Equatable {
    /// What is wrong.
    package var reply: Reply
    /// The client wants no answer (`noreply`): say nothing.
    package var isSilent: Bool
    /// How many bytes behind the cursor to throw away: the value that was announced.
    /// They may well not have arrived yet.
    package var swallowBytes: Int
    /// The connection ends with the reply.
    package var closes: Bool

    package init(reply: Reply, isSilent: Bool = false, swallowBytes: Int = 0, closes: Bool = false) {
        self.reply = reply
        self.isSilent = isSilent
        self.swallowBytes = swallowBytes
        self.closes = closes
    }
}
