/// An answer that is made piece by piece while the others have their turns, so that its length costs
/// neither memory nor anybody's time: a list of all keys, of all clients; or one without an end.
///
/// Belongs to one connection, and is used by its worker only.
class AnswerStream {
    enum Progress {
        /// There is more.
        case more
        /// There is nothing more at present; the worker calls again.
        case waiting
        /// That was all.
        case done
    }

    /// Writes the next piece, some kilobytes at most.
    func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress { .done }

    /// The answer is complete, or nobody is there to take it.
    func end(_ context: inout WorkerContext) {}
}

extension Connection {
    /// Answers with a stream; the requests behind this one wait for its end.
    mutating func begin(_ stream: AnswerStream) {
        self.stream = Unmanaged.passRetained(stream)
        phase = .streaming
    }

    /// Whether no answer waits to be sent before the one at hand. `mn` may: it says that all before it
    /// is to be sent.
    var hasNothingPipelined: Bool { output.isEmpty || output.endsWithMetaNoop }

    /// One more piece of the stream.
    mutating func streamPiece(_ context: inout WorkerContext) -> AnswerStream.Progress {
        guard let stream else { return .done }
        let progress = stream.takeUnretainedValue().writePiece(&self, &context)
        if progress == .done { endStream(&context) }
        return progress
    }

    mutating func endStream(_ context: inout WorkerContext) {
        guard let stream else { return }
        self.stream = nil
        stream.takeUnretainedValue().end(&context)
        stream.release()
    }
}
