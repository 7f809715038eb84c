/// What the operating system can refuse this module.
package enum EventLoopError: Error, Equatable {
    /// libevent found no usable polling mechanism, or no memory.
    case loopUnavailable
    /// No descriptor for a wake-up; the system's error number.
    case wakeupUnavailable(Int32)
    /// The handler for this signal could not be installed.
    case signalRefused(Int32)
    /// A descriptor could not be watched.
    case watchRefused(Int32)

    /// One sentence for the operator.
    package var message: String {
        switch self {
        case .loopUnavailable:
            "failed to create an event loop: check the limits on memory and open files"
        case .wakeupUnavailable(let error):
            "failed to create an event descriptor (error \(error)): check the limit on open files"
        case .signalRefused(let signal):
            "failed to install the handler of signal \(signal)"
        case .watchRefused(let fd):
            "failed to watch descriptor \(fd): check the limits on memory and open files"
        }
    }
}
