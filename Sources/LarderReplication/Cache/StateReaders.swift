import Glibc
import LarderStore
import Synchronization

/// Reads the state file in place, from any process and any thread.
final class StateReaders: Sendable {
    private let readers: [LockedReader]
    /// A listing of many keys takes long. It must not keep threads from reading.
    private let lister: LockedReader

    /// A reader serves one thread at a time. With several readers, threads rarely wait for each other. A power of two.
    private static let readersCount = 4

    /// - Throws: `.stateRefused` if there is no store in the file yet.
    init(_ path: String) throws(ReplicationError) {
        var readers: [LockedReader] = []
        for _ in 0..<Self.readersCount { readers.append(try LockedReader(path)) }
        self.readers = readers
        lister = try LockedReader(path)
    }

    /// Looks for a key, and hands the value that it found to `body`.
    @inline(__always)
    func withValue<Value: Sendable>(
        _ key: UnsafeRawBufferPointer, _ body: (ReadItem) -> Value
    ) -> ReadOutcome<Value> {
        // Threads have their own addresses, some pages apart.
        let thread = Int(truncatingIfNeeded: UInt(pthread_self()) >> 12)
        return readers[thread & (Self.readersCount - 1)].withValue(key, body)
    }

    /// The state in the file; nil: the file cannot be read now, or has no state yet.
    func state() -> ReplicaState? { readers[0].state() }

    /// All keys, in order; nil: the file cannot be read now.
    func sortedKeys() -> [[UInt8]]? {
        lister.keys()?.filter { $0.count <= ReplicatedCache.keyBytesMax }.sorted {
            $0.lexicographicallyPrecedes($1)
        }
    }
}

/// A reader that threads take in turn.
final class LockedReader: Sendable {
    /// SAFETY: `@unchecked Sendable` because it is reached through the lock only.
    private struct Content: ~Copyable, @unchecked Sendable {
        var reader: StoreReader
        init(_ reader: consuming StoreReader) { self.reader = reader }
    }
    private let content: Mutex<Content>

    init(_ path: String) throws(ReplicationError) {
        do throws(StoreError) {
            content = Mutex(Content(try StoreReader(path: path)))
        } catch {
            throw .stateRefused(error)
        }
    }

    @inline(__always)
    func withValue<Value: Sendable>(
        _ key: UnsafeRawBufferPointer, _ body: (ReadItem) -> Value
    ) -> ReadOutcome<Value> {
        content.withLock { $0.reader.withValue(key, now: coarseMilliseconds(), body) }
    }

    func state() -> ReplicaState? {
        ReplicaState.key.withUnsafeBytes { key in
            guard case .found(let bytes) = withValue(key, { Array($0.value) }) else { return nil }
            return ReplicaState(bytes)
        }
    }

    func keys() -> [[UInt8]]? { content.withLock { $0.reader.keys(now: coarseMilliseconds()) } }
}

/// Milliseconds of the monotonic clock at its last tick: this clock is the fastest one to read. Items have no expiry,
/// so the reader needs the time only to decide when to look at the path again.
@inline(__always)
func coarseMilliseconds() -> Int64 {
    var time = timespec()
    // SAFETY: fills in a struct that is lent to it.
    clock_gettime(CLOCK_MONOTONIC_COARSE, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
