import LarderStore
import LarderWire
import Synchronization

/// Commands about the server as a whole.
extension Execute {
    static func flushAll(_ connection: inout Connection, _ context: inout WorkerContext, _ request: Request) {
        context.counters.add(.cmdFlush)
        let answers = !request.options.noReply
        guard context.state.settings.flushEnabled else {
            if answers { connection.reply(.flushNotAllowed, &context) }
            return
        }
        let time =
            request.options.hasExptime && request.exptime > 0
            ? expiry(ofSeconds: request.exptime, now: context.now) : context.now
        context.flush(atMilliseconds: time > context.now ? time : nil)
        if answers { connection.reply(.ok, &context) }
    }

    private static let verbosityMax: Int64 = 2

    static func verbosity(_ connection: inout Connection, _ context: inout WorkerContext, _ request: Request) {
        let level = Int(min(request.exptime, verbosityMax))
        context.state.verbosity.store(level, ordering: .relaxed)
        context.verbosity = level
        context.noteObservation()
        if !request.options.noReply { connection.reply(.ok, &context) }
    }

    static func statistics(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ arguments: UnsafePointer<UInt8>
    ) {
        let bytes = UnsafeBufferPointer(start: arguments, count: request.keyLength)
        let words = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        switch Statistics.answer(words, isBinary: connection.dialect == .binary, &context) {
        case .reply(let reply): connection.reply(reply, &context)
        case .stream(let stream): connection.begin(stream)
        case .list(let list):
            connection.write(list, &context)
            connection.writeEndOfStatistics(&context)
        }
    }

    /// `shutdown` stops at once what `-A` allows to be stopped; so does `shutdown graceful`, since
    /// requests in hand are always finished.
    static func shutdown(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ arguments: UnsafePointer<UInt8>
    ) {
        let state = context.state
        guard state.settings.shutdownCommandEnabled else {
            return connection.reply(.shutdownNotEnabled, &context)
        }
        let argument = UnsafeBufferPointer(start: arguments, count: request.keyLength)
        guard argument.isEmpty || argument.elementsEqual("graceful".utf8) else {
            return connection.reply(.invalidShutdownMode, &context)
        }
        connection.phase = .closing
        connection.closeReason = .shutdown
        state.requestStop()
    }
}
