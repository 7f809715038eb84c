import CLarderSystem
import LarderEventLoop
import LarderWire
import Synchronization

/// A request that changes a replicated cache, on its way to the log and back. Its connection waits meanwhile.
final class ReplicaWrite: Sendable {
    /// The answer, which the connection encodes in its dialect.
    enum Outcome {
        case reply(Reply, cas: UInt64 = 0)
        /// Of `incr` and `decr`.
        case number(UInt64, cas: UInt64)
        /// Of `ms` and `md`.
        case meta(MetaCode, cas: UInt64 = 0, valueLength: Int = 0)
        /// Of `ma`.
        case metaNumber(UInt64, cas: UInt64, isCreated: Bool)

        /// The same with the cas that the item got.
        func withCas(_ cas: UInt64) -> Outcome {
            switch self {
            case .reply(let reply, _): .reply(reply, cas: cas)
            case .number(let number, _): .number(number, cas: cas)
            case .meta(let code, _, let length): .meta(code, cas: cas, valueLength: length)
            case .metaNumber(let number, _, let isCreated): .metaNumber(number, cas: cas, isCreated: isCreated)
            }
        }
    }

    let request: Request
    let key: [UInt8]
    let value: [UInt8]
    /// The key as the answer repeats it: behind the name of a routed key's cache.
    let answeredKey: [UInt8]
    let keyIsBinary: Bool
    /// The flags of a meta request.
    let metaFlags: [UInt8]
    let limits: CacheLimits
    let casIsEnabled: Bool
    /// The largest value that this key may have.
    let valueBytesMax: Int
    private let submittedAt = larder_milliseconds(false)
    private let waker: Waker?
    private let outcome = Mutex<Outcome?>(nil)

    init(
        _ request: Request, _ key: MetaKey, value: [UInt8], valueBytesMax: Int, _ context: borrowing WorkerContext
    ) {
        self.request = request
        // SAFETY: the key, the name in front of it and the flags lie in buffers of the connection.
        self.key = Array(UnsafeBufferPointer(start: key.bytes, count: key.length))
        answeredKey = Array(
            UnsafeBufferPointer(start: key.bytes - key.prefixLength, count: key.prefixLength + key.length))
        metaFlags = Array(UnsafeBufferPointer(start: key.flags, count: key.flagsLength))
        keyIsBinary = key.isBinary
        self.value = value
        self.valueBytesMax = valueBytesMax
        limits = context.limits
        casIsEnabled = context.casIsEnabled
        waker = context.waker
    }

    /// Has the worker answer. Only the first call counts.
    func finish(_ outcome: Outcome) {
        self.outcome.withLock { $0 = $0 ?? outcome }
        waker?.wake()
    }

    /// Whether other servers have changed its key for too long, so that it could not be decided.
    func isLate(now: Int64) -> Bool { now &- submittedAt > Self.millisecondsMax }
    private static let millisecondsMax: Int64 = 10_000

    /// The answer; nil: there is none yet.
    func takeOutcome() -> Outcome? { outcome.withLock { $0 } }

    /// The key for an answer to a meta request.
    func withAnsweredKey(_ body: (MetaKey) -> Void) {
        answeredKey.withUnsafeBufferPointer { bytes in
            metaFlags.withUnsafeBufferPointer { flags in
                // A request for all keys has none, and no meta answer.
                guard let start = bytes.baseAddress else { return }
                let prefixLength = answeredKey.count - key.count
                body(
                    MetaKey(
                        bytes: start + prefixLength, length: key.count, prefixLength: prefixLength,
                        isBinary: keyIsBinary, flags: flags.baseAddress ?? start, flagsLength: flags.count))
            }
        }
    }
}
