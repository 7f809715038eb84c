import CLarderSystem
import Glibc

/// Waits for the signals that stop the server, in a thread of its own. Ends the process if the other threads have not
/// ended in time.
final class StopDeadline: @unchecked Sendable {
    // SAFETY: `@unchecked` because the monitor guards everything that changes.
    private let monitor = Monitor()
    private var hanging: @Sendable () -> String = { "the main thread is busy" }
    private var isOver = false
    private var isStopping = false
    private var stop: (@Sendable () -> Void)?
    private let milliseconds: Int64

    static let milliseconds: Int64 = 5_000
    /// How long the last line may take.
    private static let lastLineMilliseconds: Int64 = 200
    private static let stackBytes = 256 << 10
    private static let signals = [SIGTERM, SIGINT, SIGUSR1]

    init(milliseconds: Int64 = StopDeadline.milliseconds) { self.milliseconds = milliseconds }

    /// Handles the signals from now on. Call it before any other thread starts, except those of `SystemThread`: every
    /// thread inherits the blocked signals.
    func begin() throws(StartupError) {
        var set = sigset_t()
        // SAFETY: both calls read or write a local variable.
        sigemptyset(&set)
        for signal in Self.signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        _ = try SystemThread(name: "larder-stop", stackBytes: Self.stackBytes) { [self] in
            let signal = Self.waitForSignal()
            // SAFETY: strsignal never returns null for a signal that exists, and the text is copied at once.
            if signal != SIGUSR1 { StandardError.write("Signal handled: \(String(cString: strsignal(signal))).") }
            monitor.withLock { isStopping = true }
            callStop()
            endInTime()
        }
    }

    /// Calls `stop` when a signal comes, or at once if one has come.
    func onSignal(_ stop: @escaping @Sendable () -> Void) {
        monitor.withLock { self.stop = stop }
        callStop()
    }

    private func callStop() {
        let stop = monitor.withLock { () -> (@Sendable () -> Void)? in isStopping ? self.stop : nil }
        stop?()
    }

    /// Stops the server as a signal does.
    static func request() { kill(getpid(), SIGUSR1) }

    /// Sets the text that the last line gives as the reason if the deadline comes.
    func note(_ hanging: @escaping @Sendable () -> String) { monitor.withLock { self.hanging = hanging } }

    /// The process ends in time, so the deadline is off.
    func finish() {
        monitor.withLock { isOver = true }
        monitor.signalAll()
    }

    private static func waitForSignal() -> Int32 {
        var set = sigset_t()
        var signal: Int32 = 0
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        while sigwait(&set, &signal) != 0 {}
        return signal
    }

    private func endInTime() {
        let deadline = larder_milliseconds(false) + milliseconds
        monitor.lock()
        while !isOver, monitor.wait(untilMilliseconds: deadline) {}
        let hasEnded = isOver
        let hanging = hanging
        monitor.unlock()
        guard !hasEnded else { return }
        StandardError.write(
            "larder: not stopped after \(milliseconds / 1000) s: \(hanging()). The process ends now;"
                + " a store's file is as after a kill.", .error)
        StandardError.finish(withinMilliseconds: Self.lastLineMilliseconds)
        _exit(ExitCode.osError)
    }
}
