import LarderWire

/// What a connection does before its client has logged in.
extension Connection {
    /// One attempt; false when it takes more input.
    mutating func logIn(_ context: inout WorkerContext) -> Bool {
        switch login.next(UnsafePointer(input.base), cursor: &input.start, end: input.end) {
        case .needMore: return false
        case .credentials(let name, let password): check(name, password, &context)
        case .reject(let answer): reply(answer, &context)
        case .rejectAndClose(let answer):
            reply(answer, &context)
            phase = .closing
        case .close: phase = .closing
        }
        return true
    }

    private mutating func check(_ name: Range<Int>, _ password: Range<Int>, _ context: inout WorkerContext) {
        // SAFETY: the parser's ranges lie inside the input buffer.
        let bytes = UnsafeRawBufferPointer(start: input.base, count: input.end)
        let isAccepted = context.state.access.authenticator?.accepts(
            name: UnsafeRawBufferPointer(rebasing: bytes[name]),
            password: UnsafeRawBufferPointer(rebasing: bytes[password])) ?? false
        context.counters.add(.authCmds)
        guard isAccepted else {
            context.counters.add(.authErrors)
            return reply(.authenticationFailure, &context)
        }
        phase = .readingCommand
        reply(.stored, &context)
    }
}
