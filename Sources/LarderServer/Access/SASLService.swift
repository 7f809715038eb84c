import CLarderSystem
import Glibc

/// Logins by the system's SASL library. Its configuration decides where the users are: in a sasldb, in saslauthd, or in
/// another source.
///
/// The library reads files or asks other processes. So one thread makes all calls, and workers never wait for it.
final class SASLService: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards everything that changes.
    /// The names of the mechanisms, with a space between them.
    let mechanisms: [UInt8]
    private let monitor = Monitor()
    private var waiting: [Job] = []
    private var hasThread = false

    private enum Job {
        case step(SASLExchange, mechanism: [UInt8]?, message: [UInt8])
        case end(SASLExchange)
    }

    /// Loads the library; nil when the settings name users themselves.
    init?(_ settings: Settings) throws(StartupError) {
        guard settings.usesSASLLibrary else { return nil }
        if let reason = larder_sasl_load() {
            throw .sasl(
                "-S needs the SASL library: install libsasl2-2 and libsasl2-modules, or name a file of users with -Y or "
                    + "MEMCACHED_SASL_PWDB (\(String(cString: reason)))")
        }
        guard larder_sasl_begin(Self.logLevel(verbosity: settings.verbosity), writeSASLLine) else {
            throw .sasl("-S: the SASL library cannot be initialized; -v shows its messages")
        }
        guard let session = larder_sasl_session_new() else {
            throw .sasl("-S: the SASL library offers no login; -v shows its messages")
        }
        defer { larder_sasl_session_free(session) }
        guard let list = larder_sasl_mechanisms(session) else {
            throw .sasl(
                "-S: the SASL library offers no mechanism: install libsasl2-modules, or see mech_list in its "
                    + "memcached.conf")
        }
        mechanisms = Array(String(cString: list).utf8)
    }

    /// As in memcached: errors always, failures and warnings with `-v`, other messages with `-vv`. Level 7 would show
    /// passwords.
    private static func logLevel(verbosity: Int) -> Int32 { verbosity < 1 ? 1 : verbosity < 2 ? 3 : 6 }

    /// Gives a client's step to the library. The first step names the mechanism, later steps have nil. `SASLExchange`
    /// gets the outcome.
    func judge(_ exchange: SASLExchange, mechanism: [UInt8]?, message: [UInt8]) {
        add(.step(exchange, mechanism: mechanism, message: message))
    }

    /// Frees the library's session of an exchange. A step of it that the library has not begun is not judged: clients
    /// that leave at once would otherwise make the others wait.
    func end(_ exchange: SASLExchange) { add(.end(exchange), droppingStepsOf: exchange) }

    private func add(_ job: Job, droppingStepsOf ended: SASLExchange? = nil) {
        monitor.lock()
        if let ended {
            waiting.removeAll { if case .step(let exchange, _, _) = $0 { exchange === ended } else { false } }
        }
        waiting.append(job)
        let needsThread = !hasThread
        hasThread = true
        monitor.unlock()
        monitor.signalAll()
        guard needsThread else { return }
        // The thread does not begin at the start, because a daemon forks after it, and a fork ends all other threads.
        do throws(StartupError) {
            _ = try SystemThread(name: "larder-sasl") { [self] in run() }
        } catch {
            StandardError.write("larder: \(error.message)", .error)
            failAll()
        }
    }

    /// No thread could be started, so no step can be judged. The next login tries again to start one.
    private func failAll() {
        let jobs = monitor.withLock {
            hasThread = false
            defer { waiting = [] }
            return waiting
        }
        for job in jobs {
            switch job {
            case .step(let exchange, _, _): exchange.fail()
            case .end(let exchange): exchange.end()
            }
        }
    }

    private func run() {
        while true {
            monitor.lock()
            while waiting.isEmpty { monitor.wait() }
            let job = waiting.removeFirst()
            monitor.unlock()
            switch job {
            case .step(let exchange, let mechanism, let message): exchange.step(mechanism, message)
            case .end(let exchange): exchange.end()
            }
        }
    }
}

/// One client's login by the SASL library: one step, or several.
final class SASLExchange: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards the outcome, and only the library's thread uses the session.

    /// The library's answer to a step.
    enum Outcome {
        case succeeded, failed
        /// The client must answer these bytes.
        case continues([UInt8])
    }

    private let monitor = Monitor()
    private var outcome: Outcome?
    private var session: OpaquePointer?

    /// Takes the outcome of the step under way; nil if the library has not answered.
    func takeOutcome() -> Outcome? {
        monitor.withLock {
            defer { outcome = nil }
            return outcome
        }
    }

    fileprivate func step(_ mechanism: [UInt8]?, _ message: [UInt8]) {
        let judged = judge(mechanism, message)
        monitor.withLock { outcome = judged }
    }

    private func judge(_ mechanism: [UInt8]?, _ message: [UInt8]) -> Outcome {
        if mechanism != nil { session = session ?? larder_sasl_session_new() }
        guard let session else { return .failed }
        var challenge: UnsafePointer<CChar>?
        var length: UInt32 = 0
        // SAFETY: the name ends with a NUL, the message has its length, and the challenge is copied before the next step.
        let outcome = message.withUnsafeBytes { message in
            let count = UInt32(truncatingIfNeeded: message.count)
            guard let mechanism else {
                return larder_sasl_step(session, nil, message.baseAddress, count, &challenge, &length)
            }
            return (mechanism + [0]).withUnsafeBytes { name in
                let name = name.bindMemory(to: CChar.self).baseAddress
                return larder_sasl_step(session, name, message.baseAddress, count, &challenge, &length)
            }
        }
        switch outcome {
        case LARDER_SASL_SUCCEEDED: return .succeeded
        case LARDER_SASL_CONTINUES:
            return .continues(Array(UnsafeRawBufferPointer(start: challenge, count: Int(length))))
        default: return .failed
        }
    }

    fileprivate func fail() { monitor.withLock { outcome = .failed } }

    fileprivate func end() {
        if let session { larder_sasl_session_free(session) }
        session = nil
    }
}

/// A line of the library, in memcached's form.
private func writeSASLLine(_ level: Int32, _ line: UnsafePointer<CChar>?) {
    guard let line else { return }
    // SAFETY: the line ends with a NUL.
    let bytes = UnsafeRawBufferPointer(start: line, count: strlen(line))
    let text = bytes.withMemoryRebound(to: UInt8.self) { LogText.escaped($0) }
    StandardError.write("SASL (severity \(level)): \(text)", level > 1 ? .info : .error)
}
