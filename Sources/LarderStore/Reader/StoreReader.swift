import CLarderArena
import Glibc

// SAFETY: the key has as many bytes as its buffer says; what is handed out lies in `copy`, which has room for key and
// value, and is valid until the next read.

/// Reads a store's file in place, from any process, while a server or another program writes it.
///
/// A read takes neither a lock nor, the arena being mapped, a system call, and writes nothing into the
/// file: whoever serves it does not notice, and a reader may be stopped or killed at any instruction. One
/// reader belongs to one thread at a time; a thread makes its own.
///
/// Ten times a second a read also looks whether the path still names the same file, and goes over to
/// the one that has taken its place. The server marks a file that it replaces, so that nobody reads an
/// old value from it after that.
public struct StoreReader: ~Copyable {
    /// How the file is read.
    public enum Access: Sendable {
        /// Mapped. The process gets a handler for SIGBUS, which sees to pages of a file that was truncated;
        /// faults elsewhere go to the handler that was there before.
        case mapped
        /// With `pread`: some microseconds a read, and no handler.
        case systemCalls
    }

    /// The file.
    public let path: String
    private let access: Access
    /// nil while there is no file that could be read.
    var view: ArenaView?
    private var copy: CopyBuffer
    let scratch: UnsafeMutableRawPointer
    /// When the path was looked at, on the reads' clock.
    var checkedMilliseconds = Int64.min

    private static let checkMilliseconds: UInt64 = 100
    /// Looks before a read is given up: some tens of microseconds, while a writer that was interrupted may
    /// hold a bucket for long.
    static let looksMax = 1000
    private static let damagedLooksMax = 4

    /// Opens a store's file.
    /// - Throws: `.fileRefused` when there is no store of this version in it.
    public init(path: String, access: Access = .mapped) throws(StoreError) {
        let view = try ArenaView.open(path, isMapped: access == .mapped)
        self.path = path
        self.access = access
        self.view = view
        // After the last call that can fail: a failed init does not free what the reader has.
        copy = CopyBuffer()
        scratch = .allocate(byteCount: ArenaPlace.allBytes, alignment: 64)
    }

    deinit {
        view?.close()
        copy.free()
        scratch.deallocate()
    }

    /// The time by the clock of the store's server, in absolute milliseconds: what reads are to be given.
    public var now: Int64 {
        guard let base = view?.base else { return (view?.clock ?? StoreClock()).now() }
        let offset = larder_clock_offset(base.assumingMemoryBound(to: larder_superblock.self))
        guard offset != 0, offset == knownOffset else { return (view?.clock ?? StoreClock()).now() }
        return StoreClock(offsetMilliseconds: offset).now()
    }
    /// The offset of the server's clock, once it was found to be of this boot.
    private var knownOffset: Int64 = 0

    /// Looks for a key, and hands the value that it found to `body`: a copy that was checked, and is valid
    /// in there only.
    /// - Parameters:
    ///   - key: 1 byte to `HashedKey.lengthMax`.
    ///   - now: absolute milliseconds: `StoreReader.now`.
    @inlinable
    public mutating func withValue<Value>(
        _ key: UnsafeRawBufferPointer, now: Int64, _ body: (ReadItem) -> Value
    ) -> ReadOutcome<Value> {
        switch look(for: key, now: now) {
        case .found(let item): .found(body(item))
        case .missing: .missing
        case .unavailable: .unavailable
        }
    }

    /// A key's value, as an array of its own.
    public mutating func value(of key: String) -> ReadOutcome<[UInt8]> {
        var key = key
        let now = now
        switch key.withUTF8({ look(for: UnsafeRawBufferPointer($0), now: now) }) {
        case .found(let item): return .found([UInt8](item.value))
        case .missing: return .missing
        case .unavailable: return .unavailable
        }
    }

    @usableFromInline
    mutating func look(for key: UnsafeRawBufferPointer, now: Int64) -> ReadOutcome<ReadItem> {
        guard key.count > 0, key.count <= HashedKey.lengthMax else { return .missing }
        if isCheckDue(now) { checkFile(now) }
        guard let view else { return .unavailable }
        let hash = KeyHash.hash(key.baseAddress.unsafelyUnwrapped, count: key.count, seed: view.hashSeed)
        let outcome =
            if let base = view.base {
                look(MappedSource(base: base), view, for: key, hash, now)
            } else {
                look(DescriptorSource(fd: view.fd, scratch: scratch), view, for: key, hash, now)
            }
        // A page that went missing meanwhile looks like one in which nothing is.
        guard view.isWhole else {
            checkedMilliseconds = Int64.min
            return .unavailable
        }
        return outcome
    }

    @inline(__always)
    private mutating func look<Source: ArenaSource>(
        _ source: Source, _ view: ArenaView, for key: UnsafeRawBufferPointer, _ hash: UInt64, _ now: Int64
    ) -> ReadOutcome<ReadItem> {
        let read = InPlaceRead(source: source, geometry: view.geometry, hashSeed: view.hashSeed)
        var damagedLooks = 0
        for _ in 0..<Self.looksMax {
            switch read.look(for: key, hash: hash, now: now, &copy) {
            case .missing: return .missing
            case .found(let found):
                return .found(
                    ReadItem(
                        value: UnsafeRawBufferPointer(
                            start: copy.start + key.count, count: found.valueLength),
                        clientFlags: found.clientFlags, cas: found.cas, expiryMilliseconds: found.expiry,
                        isStale: found.state & ItemState.stale != 0))
            case .damaged:
                damagedLooks += 1
                if damagedLooks == Self.damagedLooksMax { return .unavailable }
            case .changing: break
            }
            larder_pause()
        }
        // The index may be kept shut because there is another file by now.
        checkedMilliseconds = Int64.min
        return .unavailable
    }

    // MARK: Another file under the same name

    /// Also when the clock goes back.
    @inline(__always)
    func isCheckDue(_ now: Int64) -> Bool {
        UInt64(bitPattern: now &- checkedMilliseconds) >= Self.checkMilliseconds
    }

    @inline(never)
    mutating func checkFile(_ now: Int64) {
        checkedMilliseconds = now
        if view.map({ !$0.isWhole || !$0.isCurrent(at: path) }) ?? true {
            view?.close()
            view = try? ArenaView.open(path, isMapped: access == .mapped)
        }
        knownOffset = view?.clock.offsetMilliseconds ?? 0
    }
}

/// What came of a read.
public enum ReadOutcome<Value> {
    case found(Value)
    case missing
    /// The store cannot be read in place just now: it is being opened by its server, or replaced, or
    /// damaged, or a writer stopped in the middle. Whoever needs the value asks the server.
    case unavailable
}

extension ReadOutcome: Equatable where Value: Equatable {}
extension ReadOutcome: Sendable where Value: Sendable {}

/// An item that a reader found, copied and checked.
public struct ReadItem {
    /// The value, until the call that it was handed to returns.
    public let value: UnsafeRawBufferPointer
    public let clientFlags: UInt32
    public let cas: UInt64
    /// Absolute milliseconds; `Int64.max`: never.
    public let expiryMilliseconds: Int64
    /// Whether it was marked stale, to be made anew.
    public let isStale: Bool
}
