import CLarderArena
import Glibc

// SAFETY: the key has as many bytes as its buffer says; what is handed out lies in `copy`, which has room for key and
// value, and is valid until the next read. A body cannot begin one, since reading is mutating.

/// Reads a store's file in place, from any process, while a server or another program writes it.
///
/// The file may be that of a program's own store, or that of a server (`larder -e FILE`). A read takes no lock. It
/// makes no system call, unless the access is `.systemCalls`, and it never writes. A reader that is stopped or killed
/// at any instruction leaves nothing behind. One thread uses a reader at a time, and each thread opens its own.
///
/// Ten times a second a read checks whether the path still names the same file, and opens the new one if it does not. A
/// server marks a file that it replaces, and no old value is read from it after that.
public struct StoreReader: ~Copyable {
    /// How a reader reads its file.
    public enum Access: Sendable {
        /// Through a mapping. The process gets a handler for SIGBUS, for pages of a file that was truncated. Faults
        /// elsewhere go to the handler that was there before.
        case mapped
        /// With `pread`. A read takes some microseconds, and the process gets no handler.
        case systemCalls
    }

    /// The path of the file.
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
    /// - Throws: `StoreError.fileRefused` if it is missing, or is no store of this version.
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
    package var now: Int64 {
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
    package mutating func withValue<Value>(
        _ key: UnsafeRawBufferPointer, now: Int64, _ body: (ReadItem) -> Value
    ) -> ReadOutcome<Value> {
        switch look(for: key, now: now) {
        case .found(let item): .found(body(item))
        case .missing: .missing
        case .unavailable: .unavailable
        }
    }

    /// A copy of the value of a key.
    public mutating func value(of key: String) -> ReadOutcome<[UInt8]> { value(of: key.utf8Span.span.bytes) }

    /// A copy of the value of a key.
    public mutating func value(of key: RawSpan) -> ReadOutcome<[UInt8]> {
        withItem(key) { value, _ in value.withUnsafeBytes { [UInt8]($0) } }
    }

    /// Hands the value of a key to `body`.
    @inlinable
    public mutating func withValue<Result, Failure: Error>(
        _ key: String, _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> ReadOutcome<Result> {
        try withValue(key.utf8Span.span.bytes, body)
    }

    /// Hands the value of a key to `body`.
    @inlinable
    public mutating func withValue<Result, Failure: Error>(
        _ key: RawSpan, _ body: (RawSpan) throws(Failure) -> Result
    ) throws(Failure) -> ReadOutcome<Result> {
        switch look(for: key) {
        case .found(let item): .found(try body(item.value.bytes))
        case .missing: .missing
        case .unavailable: .unavailable
        }
    }

    /// Hands the value of a key to `body`, with what a server keeps beside it.
    @inlinable
    public mutating func withItem<Result, Failure: Error>(
        _ key: RawSpan, _ body: (RawSpan, ItemAttributes) throws(Failure) -> Result
    ) throws(Failure) -> ReadOutcome<Result> {
        switch look(for: key) {
        case .found(let item): .found(try body(item.value.bytes, item.attributes))
        case .missing: .missing
        case .unavailable: .unavailable
        }
    }

    /// As the package's `look`, at the time of the store's server.
    @usableFromInline
    mutating func look(for key: RawSpan) -> ReadOutcome<ReadItem> {
        let now = now
        return key.withUnsafeBytes { look(for: $0, now: now) }
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

/// What a read found.
public enum ReadOutcome<Value> {
    /// The key has a value, and this was made of it.
    case found(Value)
    /// The key has no value.
    case missing
    /// The store cannot be read in place at the moment: its server is opening or replacing the file, the file is
    /// damaged, or a writer was stopped in the middle. A program that needs the value asks the server.
    case unavailable
}

extension ReadOutcome: Equatable where Value: Equatable {}
extension ReadOutcome: Sendable where Value: Sendable {}

/// An item's client flags, cas, expiry and stale mark.
public struct ItemAttributes: Hashable, Sendable {
    /// The flags that a memcached client stored with the value.
    public let clientFlags: UInt32
    /// The number that changes with each change of the item, memcached's cas.
    public let cas: UInt64
    /// When the item expires, in milliseconds since 1970; nil: never.
    public let expiryMilliseconds: Int64?
    /// Whether a client marked the value stale, so that one client makes it anew.
    public let isStale: Bool
}

/// An item that a reader found, copied and checked.
@usableFromInline
package struct ReadItem {
    /// The value, until the call that it was handed to returns.
    @usableFromInline package let value: UnsafeRawBufferPointer
    package let clientFlags: UInt32
    package let cas: UInt64
    /// Absolute milliseconds; `Int64.max`: never.
    package let expiryMilliseconds: Int64
    /// Whether it was marked stale, to be made anew.
    package let isStale: Bool

    @usableFromInline
    var attributes: ItemAttributes {
        ItemAttributes(
            clientFlags: clientFlags, cas: cas,
            expiryMilliseconds: expiryMilliseconds == Int64.max ? nil : expiryMilliseconds, isStale: isStale)
    }
}
