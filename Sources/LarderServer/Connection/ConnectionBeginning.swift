import LarderWire
import Synchronization

/// The first bytes of a connection: they tell in which dialect it speaks, or that it does not speak memcached's.
extension Connection {
    /// What `begin` came to.
    enum Beginning {
        case decided
        /// An empty line is to be answered, and the next bytes tell.
        case emptyLine
        case needMore
        case closing
    }

    /// Looks at the first bytes, and decides the dialect where they are enough.
    @inline(never)
    mutating func begin(_ context: inout WorkerContext) -> Beginning {
        // SAFETY: the input's own bytes; the caller has seen that there are some.
        let bytes = UnsafeBufferPointer(start: UnsafePointer(input.base) + input.start, count: input.count)
        switch ForeignProtocol.recognise(bytes) {
        case .needMore: return .needMore
        case .foreign(let kind):
            context.state.foreignConnections.withLock { $0[Int(kind.rawValue)] += 1 }
            closeReason = .error
            phase = .closing
            return .closing
        case .emptyLine:
            if expectedDialect != .binary { return .emptyLine }
            fallthrough
        case .memcached:
            dialect = expectedDialect == .undecided ? .begun(by: bytes[0]) : expectedDialect
            if context.verbosity > 1, expectedDialect == .undecided { logDialect() }
            return .decided
        }
    }

    /// A step of a connection that speaks neither text nor binary, or has not begun to.
    @inline(never)
    mutating func firstStep(_ context: inout WorkerContext, _ budget: inout Int) -> Bool {
        if case .uwsgi = dialect { return uwsgiStep(&context, &budget) }
        switch begin(&context) {
        case .decided: return step(&context, &budget)
        case .needMore: return false
        case .closing: return true
        case .emptyLine:
            dialect = .text
            let isAnswered = step(&context, &budget)
            dialect = .undecided
            return isAnswered
        }
    }
}
