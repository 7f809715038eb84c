/// When requests are due in an open loop: at equal distances, one connection after the other, and the threads
/// between each other.
struct Schedule {
    private let connections: Int
    /// Nanoseconds between two requests of this thread.
    private let step: Double
    private let offset: Double
    private var start: UInt64 = 0

    /// The request that is due next: of which connection, and when.
    private(set) var connection = 0
    private(set) var due = UInt64.max
    private var number: UInt64 = 0

    init(_ options: Options, thread: Int) {
        connections = options.connections
        let rate = Double(options.ratePerConnection ?? 1) * Double(options.connections)
        step = 1e9 / rate
        offset = step * Double(thread) / Double(options.threads)
    }

    mutating func begin(at start: UInt64) {
        (self.start, number, connection) = (start, 0, 0)
        due = time(0)
    }

    @inline(__always)
    mutating func advance() {
        number &+= 1
        connection &+= 1
        if connection == connections { connection = 0 }
        due = time(number)
    }

    /// When request `request` of a connection was due.
    @inline(__always)
    func time(of connection: Int, request: Int) -> UInt64 {
        time(UInt64(truncatingIfNeeded: request &* connections &+ connection))
    }

    @inline(__always)
    private func time(_ number: UInt64) -> UInt64 {
        start &+ UInt64(Double(number) * step + offset)
    }
}
