import CLarderSystem
import Glibc

/// Takes the signals that stop the server, in a thread of its own, and ends the process when the rest of it has not
/// ended in time: whichever thread hangs, and on what.
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

    /// Takes the signals from now on. To be called before there is any other thread, but those of `SystemThread`: they all
    /// inherit that the signals are not theirs.
    func begin() throws(StartupError) {
        var set = sigset_t()
        // SAFETY: both calls read or write a local variable.
        sigemptyset(&set)
        for signal in Self.signals { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        _ = try SystemThread(name: "larder-stop", stackBytes: Self.stackBytes) { [self] in
            Self.waitForSignal()
            monitor.withLock { isStopping = true }
            callStop()
            endInTime()
        }
    }

    /// Calls `stop` once there is a signal, or there was one.
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

    /// Says what is being waited for, should the deadline come meanwhile.
    func note(_ hanging: @escaping @Sendable () -> String) { monitor.withLock { self.hanging = hanging } }

    /// The process ends by itself.
    func finish() {
        monitor.withLock { isOver = true }
        monitor.signalAll()
    }

    private static func waitForSignal() {
        var set = sigset_t()
        var signal: Int32 = 0
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        while sigwait(&set, &signal) != 0 {}
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
            "larder: not stopped after \(milliseconds / 1000) s: \(hanging()). The process ends now; a store's file is as after a kill.")
        StandardError.finish(withinMilliseconds: Self.lastLineMilliseconds)
        _exit(ExitCode.osError)
    }
}
