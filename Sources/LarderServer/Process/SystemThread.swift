import CLarderSystem
import Glibc

/// A thread of the operating system that runs one function to its end: a worker's loop may block,
/// which a task of Swift's shared pool must not.
package struct SystemThread: Sendable {
    private let handle: pthread_t

    /// Starts a thread with `name` (15 bytes at most), which tools like `top -H` show.
    ///
    /// The process's signals stay with the threads that are there already, the main one.
    /// - Parameter stackBytes: the size of the stack; nil: the system's default.
    package init(name: String, stackBytes: Int? = nil, _ body: @escaping @Sendable () -> Void) throws(StartupError) {
        var blocked = sigset_t()
        var former = sigset_t()
        // SAFETY: all these calls read or write local variables.
        sigemptyset(&blocked)
        for signal in [SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP] { sigaddset(&blocked, signal) }
        pthread_sigmask(SIG_BLOCK, &blocked, &former)
        defer { pthread_sigmask(SIG_SETMASK, &former, nil) }

        let start = Unmanaged.passRetained(ThreadStart(name: name, body: body))
        var handle = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        if let stackBytes { pthread_attr_setstacksize(&attributes, stackBytes) }
        let error = pthread_create(&handle, &attributes, runThread, start.toOpaque())
        guard error == 0 else {
            start.release()
            throw .thread(error: error)
        }
        self.handle = handle
    }

    /// Waits until the function has returned. Call it once.
    package func join() {
        pthread_join(handle, nil)
    }
}

private final class ThreadStart: Sendable {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// A function, not a closure literal: a literal written in main-actor code would trap on another thread.
private func runThread(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    // SAFETY: SystemThread.init retained the object for this one call.
    let start = Unmanaged<ThreadStart>.fromOpaque(context).takeRetainedValue()
    larder_name_thread(start.name)
    start.body()
    return nil
}
