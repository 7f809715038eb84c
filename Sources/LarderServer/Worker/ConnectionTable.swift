import Glibc
import Synchronization

/// What each descriptor is doing, for `stats conns`: written by the workers, read by whoever asks.
///
/// SAFETY: `@unchecked Sendable` because the cells are atomics, and live as long as the server.
struct ConnectionTable: @unchecked Sendable {
    enum State: Int64 {
        case none = 0, reading, readingValue, skipping, sending, listening, watching, datagrams, new

        /// memcached's word for it.
        var name: String {
            switch self {
            case .none: "conn_closed"
            case .reading, .datagrams: "conn_read"
            case .readingValue: "conn_nread"
            case .skipping: "conn_swallow"
            case .sending: "conn_mwrite"
            case .listening: "conn_listening"
            case .watching: "conn_watch"
            case .new: "conn_new_cmd"
            }
        }
    }

    private let cells: UnsafeMutablePointer<Atomic<Int64>>
    let count: Int

    /// - Parameter count: descriptors that are followed; higher ones are not shown.
    init?(count: Int) {
        self.count = count
        // SAFETY: an atomic of zero is eight bytes of zero; pages come when a descriptor is first used.
        guard let memory = calloc(max(1, count), MemoryLayout<Atomic<Int64>>.stride) else { return nil }
        cells = memory.bindMemory(to: Atomic<Int64>.self, capacity: count)
    }

    /// Call it once, when no thread uses the table any more.
    func deallocate() { free(cells) }

    @inline(__always)
    func set(_ fd: Int32, _ state: State, atMilliseconds time: Int64) {
        guard fd >= 0, Int(fd) < count else { return }
        (cells + Int(fd)).pointee.store(time &<< 4 | state.rawValue, ordering: .relaxed)
    }

    func clear(_ fd: Int32) { set(fd, .none, atMilliseconds: 0) }

    /// State and time of the last activity of a descriptor in use.
    func entry(_ fd: Int) -> (state: State, milliseconds: Int64)? {
        let value = (cells + fd).pointee.load(ordering: .relaxed)
        guard let state = State(rawValue: value & 15), state != .none else { return nil }
        return (state, value >> 4)
    }
}
