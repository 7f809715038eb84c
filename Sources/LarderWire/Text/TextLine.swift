/// One whole line in the read buffer.
///
/// SAFETY: the parser makes one only around a newline that it found, so `start..<contentEnd`
/// and the 1 or 2 bytes behind are in the buffer. The pointers live as long as one step of
/// the parser, in which nobody moves the buffer.
struct TextLine {
    let start: UnsafePointer<UInt8>
    /// Behind the last byte before the `\r\n` or the bare `\n`.
    let contentEnd: UnsafePointer<UInt8>
    let terminatorLength: Int

    @inline(__always)
    init(start: UnsafePointer<UInt8>, newline: UnsafePointer<UInt8>) {
        let hasReturn = newline > start && (newline - 1).pointee == UInt8(ascii: "\r")
        self.start = start
        self.contentEnd = hasReturn ? newline - 1 : newline
        self.terminatorLength = hasReturn ? 2 : 1
    }

    /// With the line end.
    @inline(__always)
    var length: Int { contentEnd - start &+ terminatorLength }

    /// Whether the last word is `noreply`.
    @inline(__always)
    var endsWithNoReply: Bool { TextTokens.endWithNoReply(start, contentEnd) }

    /// The command that the line names, and what follows that name.
    func command() -> (TextCommand, arguments: UnsafePointer<UInt8>) {
        var tokens = TextTokens(from: start, to: contentEnd)
        let name = tokens.next()
        let command = TextCommand(name: name.start, length: name.length)
        let isKnown = name.start == start || command.mayFollowSpaces
        return (isKnown ? command : .unknown, tokens.position)
    }
}
