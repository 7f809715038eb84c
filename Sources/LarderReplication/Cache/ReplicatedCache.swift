import Glibc
import LarderStore
import Synchronization

/// A cache whose content is the same on every machine: reads stay in the process, writes go through a durable log.
///
/// All processes of a machine that name the same state file share it. A read looks into that file in place. It makes no
/// system call but one `stat` in 100 ms, and takes no lock of another process. A write returns when the log has made it
/// durable and the state file of this machine has it. Items are not evicted, and do not expire.
/// docs/replicated-caches.md has the promises.
///
/// Every method may be called from any thread or task.
public final class ReplicatedCache: Sendable {
    /// Sizes and times of a replicated cache.
    public struct Configuration: Sendable {
        /// The first size of the state file, rounded up to a power of two. A full file is opened again at twice the
        /// size.
        public var arenaBytes = 16 << 20
        /// The largest record, in bytes. A key and its value, and 16 bytes more, must fit. All replicas of a log need
        /// the same limit. At most 32 MiB.
        public var updateBytesMax = 1 << 20
        /// How long a write waits until this machine has applied it.
        public var applyMillisecondsMax = 30_000
        /// How long `init` waits for a state file that can be read.
        public var openMillisecondsMax = 30_000
        /// How long a read waits for a state file that cannot be read at the moment.
        public var readMillisecondsMax = 2_000
        /// Whether this process may be the one that applies the log.
        package var mayApply = true

        /// The usual sizes and times.
        public init() {}
    }

    /// The state of a cache, as this process knows it.
    public struct Status: Sendable {
        /// The id of the record that this machine applied last.
        public var appliedID: UInt64
        /// Whether this process applies the log for its machine.
        public var isApplier: Bool
        /// How often this process rebuilt the state file from the log.
        public var rebuilds: Int
        /// Records that this process applied.
        public var recordsApplied: Int
        /// Why this process cannot apply the log; nil: there was no error.
        public var error: ReplicationError?
    }

    /// The longest key, in bytes.
    public static let keyBytesMax = 250
    /// The highest `updateBytesMax`.
    private static let updateBytesLimit = 32 << 20

    /// The state file.
    public let stateFile: String
    let log: any UpdateLog
    let configuration: Configuration
    let readers: StateReaders
    private let applier: Applier
    private let writer: LogWriter
    private let threads: Mutex<[BlockingThread]>
    private let isClosed = Atomic(false)

    /// Opens a replica of a log on this machine, and makes its state file if there is none.
    ///
    /// Blocks until the file can be read. With an existing file that takes a fraction of a second, with a new file the
    /// time to read the log.
    /// - Parameters:
    ///   - log: the log. Processes that share a state file must open the same log.
    ///   - stateFile: a path on a local disk or in `/dev/shm`. `.lock`, `.wake`, `.new` and `.rebuild` are added to it
    ///     for files beside it.
    /// - Throws: the reason if there is no state file that can be read within `openMillisecondsMax`.
    public init(
        log: any UpdateLog, stateFile: String, configuration: Configuration = Configuration()
    ) throws(ReplicationError) {
        var configuration = configuration
        configuration.updateBytesMax = min(max(1024, configuration.updateBytesMax), Self.updateBytesLimit)
        self.log = log
        self.stateFile = stateFile
        self.configuration = configuration
        let applier = try Applier(stateFile, log, configuration)
        let writer = LogWriter(applier)
        self.applier = applier
        self.writer = writer
        let first = try Self.thread(stateFile) { applier.run() }
        let second: BlockingThread
        do throws(ReplicationError) {
            try Self.awaitFile(applier, configuration.openMillisecondsMax)
            readers = try StateReaders(stateFile)
            second = try Self.thread(stateFile) { writer.run() }
        } catch {
            applier.stop()
            first.join()
            throw error
        }
        threads = Mutex([first, second])
    }

    private static func thread(
        _ stateFile: String, _ body: @escaping @Sendable () -> Void
    ) throws(ReplicationError) -> BlockingThread {
        guard let thread = BlockingThread(body) else {
            throw .logRefused(path: stateFile, reason: "the system gives no thread for it")
        }
        return thread
    }

    deinit { close() }

    private static func awaitFile(_ applier: Applier, _ milliseconds: Int) throws(ReplicationError) {
        let deadline = monotonicMilliseconds(in: milliseconds)
        while !applier.status.isReadable {
            guard monotonicMilliseconds() < deadline else { throw applier.status.error ?? .unavailable }
            usleep(200)
        }
    }

    /// Ends the cache's threads. Writes that wait fail with `.closed`. If this process applies, the state file is
    /// marked as whole, so that a copy of it can be opened on another machine.
    public func close() {
        guard !isClosed.exchange(true, ordering: .relaxed) else { return }
        // The writer calls the applier, so it ends first.
        let threads = threads.withLock { threads in
            defer { threads = [] }
            return threads
        }
        writer.stop()
        threads.last?.join()
        applier.stop()
        threads.first?.join()
    }

    // MARK: Reading

    /// The value of a key; nil: there is none.
    /// - Throws: `.unavailable` if the state file cannot be read within `readMillisecondsMax`.
    public func get(_ key: [UInt8]) throws(ReplicationError) -> [UInt8]? {
        try read(key) { Array($0.value) }
    }

    /// The result of `body` for the item under a key; nil: there is no item.
    func read<Value: Sendable>(
        _ key: [UInt8], _ body: (ReadItem) -> Value
    ) throws(ReplicationError) -> Value? {
        guard key.count <= Self.keyBytesMax else { return nil }
        var outcome = key.withUnsafeBytes { readers.withValue($0, body) }
        if case .unavailable = outcome {
            let found = patiently { () -> ReadOutcome<Value>? in
                outcome = key.withUnsafeBytes { readers.withValue($0, body) }
                if case .unavailable = outcome { return nil }
                return outcome
            }
            outcome = found ?? .unavailable
        }
        switch outcome {
        case .found(let value): return value
        case .missing: return nil
        case .unavailable: throw isClosed.load(ordering: .relaxed) ? .closed : .unavailable
        }
    }

    /// Tries until there is a result, or `readMillisecondsMax` have passed. Without a result the file is being replaced
    /// or opened, or its applier was killed. After a kill this process takes over.
    @inline(never)
    func patiently<Result>(_ body: () -> Result?) -> Result? {
        let deadline = monotonicMilliseconds(in: configuration.readMillisecondsMax)
        while true {
            if let result = body() { return result }
            guard monotonicMilliseconds() < deadline else { return nil }
            applier.wakeup.wakeOwn()
            usleep(200)
        }
    }

    /// The id of the record that this machine applied last.
    public var updateID: UInt64 { (patiently { readers.state() })?.applied.id ?? 0 }

    /// The state of the cache now.
    public var status: Status {
        let status = applier.status
        return Status(
            appliedID: status.applied, isApplier: status.isApplier, rebuilds: status.rebuilds,
            recordsApplied: status.recordsApplied, error: status.error)
    }

    // MARK: Writing

    /// Sets a key's value.
    /// - Parameter flags: 32 bits that are kept with the value.
    /// - Returns: the update's id.
    /// - Throws: `.outcomeUnknown` if the log may have the update; writing it again is harmless. `.notApplied` if the
    ///   log has it, and this machine has not applied it within `applyMillisecondsMax`. `.closed` if the cache was
    ///   closed: the log may have it. After any other error it was not written.
    @discardableResult
    public func set(_ key: [UInt8], _ value: [UInt8], flags: UInt32 = 0) async throws(ReplicationError) -> UInt64 {
        try await write([.set(key: key, value: value, flags: flags)]) ?? 0
    }

    /// Sets several keys. The keys of one record are all applied, also if the applier is killed between them. Readers
    /// may see some keys before the others.
    /// - Returns: the id of the last update; nil if there are no keys, and nothing was written.
    /// - Throws: as `set`. If one key or value is too large, nothing is written.
    @discardableResult
    public func setMulti(_ values: [[UInt8]: [UInt8]]) async throws(ReplicationError) -> UInt64? {
        try await write(values.map { .set(key: $0.key, value: $0.value, flags: 0) })
    }

    /// Removes a key, if it is there.
    /// - Returns: the update's id.
    /// - Throws: as `set`.
    @discardableResult
    public func delete(_ key: [UInt8]) async throws(ReplicationError) -> UInt64 {
        try await write([.delete(key: key)]) ?? 0
    }

    /// Removes several keys. Missing ones are ignored.
    /// - Returns: the id of the last update; nil if there are no keys, and nothing was written.
    /// - Throws: as `set`.
    @discardableResult
    public func deleteMulti(_ keys: [[UInt8]]) async throws(ReplicationError) -> UInt64? {
        try await write(keys.map { .delete(key: $0) })
    }

    private func write(_ changes: [UpdateChange]) async throws(ReplicationError) -> UInt64? {
        let records = try Self.records(changes, bytesMax: configuration.updateBytesMax)
        guard !records.isEmpty else { return nil }
        let result: Result<UInt64, ReplicationError> = await withCheckedContinuation { continuation in
            writer.append(records) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Groups changes into records, in their order. A record is filled up to `bytesMax`.
    static func records(_ changes: [UpdateChange], bytesMax: Int) throws(ReplicationError) -> [UpdateRecord] {
        var batches: [[UpdateChange]] = []
        var bytes = 0
        for change in changes {
            try check(key: change.key)
            let alone = UpdateRecord.headBytes + change.encodedBytes
            guard alone <= bytesMax else { throw .updateTooLarge(bytes: alone, limit: bytesMax) }
            if batches.isEmpty || bytes + change.encodedBytes > bytesMax {
                batches.append([])
                bytes = UpdateRecord.headBytes
            }
            batches[batches.count - 1].append(change)
            bytes += change.encodedBytes
        }
        return try batches.map { (batch) throws(ReplicationError) in try UpdateRecord(batch) }
    }

    /// - Throws: `.emptyKey` or `.keyTooLong` if no replica takes such a key.
    static func check(key: [UInt8]) throws(ReplicationError) {
        if key.isEmpty { throw .emptyKey }
        guard key.count <= keyBytesMax else { throw .keyTooLong(bytes: key.count, limit: keyBytesMax) }
    }

    // MARK: Following

    /// Waits until this machine has applied all records that the log has now. The cache also follows the log without
    /// this call: with `FileLog` it has other machines' updates within about 20 ms.
    /// - Returns: the id of the log's last record.
    /// - Throws: `.notApplied` if that takes longer than `applyMillisecondsMax`; the log's error if it fails.
    @discardableResult
    public func update() async throws(ReplicationError) -> UInt64 {
        let log = log
        let id = try await Self.blocking { () throws(ReplicationError) in try log.latest().id }
        let result: Result<UInt64, ReplicationError> = await withCheckedContinuation { continuation in
            applier.whenApplied(id) { continuation.resume(returning: $0) }
        }
        return try result.get()
    }

    /// Runs a call that blocks on a thread of its own.
    static func blocking<Value: Sendable>(
        _ body: @escaping @Sendable () throws(ReplicationError) -> Value
    ) async throws(ReplicationError) -> Value {
        let result: Result<Value, ReplicationError> = await withCheckedContinuation { continuation in
            let work: @Sendable () -> Void = {
                do throws(ReplicationError) {
                    continuation.resume(returning: .success(try body()))
                } catch {
                    continuation.resume(returning: .failure(error))
                }
            }
            // If the system gives no thread, the caller's has to do: the call ends.
            if let thread = BlockingThread(work) { thread.detach() } else { work() }
        }
        return try result.get()
    }
}

/// Keys that are text.
extension ReplicatedCache {
    /// The value of a key; nil: there is none.
    /// - Throws: `.unavailable` if the state file cannot be read within `readMillisecondsMax`.
    public func get(_ key: String) throws(ReplicationError) -> [UInt8]? { try get(Array(key.utf8)) }

    /// Sets a key's value. See `set` of keys that are bytes.
    /// - Returns: the update's id.
    @discardableResult
    public func set(_ key: String, _ value: [UInt8], flags: UInt32 = 0) async throws(ReplicationError) -> UInt64 {
        try await set(Array(key.utf8), value, flags: flags)
    }

    /// Removes a key, if it is there. See `delete` of keys that are bytes.
    /// - Returns: the update's id.
    @discardableResult
    public func delete(_ key: String) async throws(ReplicationError) -> UInt64 { try await delete(Array(key.utf8)) }
}
