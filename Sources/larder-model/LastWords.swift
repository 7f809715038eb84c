import Glibc

/// What to say when a sequence does not fail but kills the process: how each worker's is run again.
enum LastWords {
    private static let bytesEach = 512
    // SAFETY: made once before the workers; each writes its own part; a dying process reads them all.
    private nonisolated(unsafe) static var lines: UnsafeMutablePointer<CChar>?
    private nonisolated(unsafe) static var count = 0

    static func install(workers: Int) {
        let memory = UnsafeMutablePointer<CChar>.allocate(capacity: workers * bytesEach)
        memory.initialize(repeating: 0, count: workers * bytesEach)
        lines = memory
        count = workers
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT] { signal(number, sayLastWords) }
    }

    static func prepare(_ worker: Int, _ line: String) {
        guard let lines, line.utf8.count < bytesEach else { return }
        _ = line.withCString { strcpy(lines + worker * bytesEach, $0) }
    }

    fileprivate static func say() {
        guard let lines else { return }
        let heading: StaticString = "larder-model: it died; one of these does it again:\n"
        write(2, heading.utf8Start, heading.utf8CodeUnitCount)
        for worker in 0..<count { write(2, lines + worker * bytesEach, strlen(lines + worker * bytesEach)) }
    }
}

// A function and not a closure: a handler has no context.
private func sayLastWords(_ number: Int32) {
    // What it did comes again when this returns, and then it dies of it.
    signal(number, SIG_DFL)
    LastWords.say()
}
