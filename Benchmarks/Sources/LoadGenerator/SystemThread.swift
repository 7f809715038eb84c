import Glibc

/// A thread of the system that runs one closure.
package struct SystemThread {
    private var handle = pthread_t()

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    package init(_ run: @escaping @Sendable () -> Void) {
        // SAFETY: the one reference passed on here is taken over by the thread, which runs exactly once.
        let body = Unmanaged.passRetained(Body(run)).toOpaque()
        let error = pthread_create(&handle, nil, startThread, body)
        precondition(error == 0, "pthread_create: \(String(cString: strerror(error)))")
    }

    package func join() { pthread_join(handle, nil) }

    fileprivate static func runBody(_ body: UnsafeMutableRawPointer) {
        // SAFETY: see `init`.
        Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run()
    }
}

// A function and not a closure: a closure could inherit an actor, and would trap on another thread.
private func startThread(_ body: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    if let body { SystemThread.runBody(body) }
    return nil
}
