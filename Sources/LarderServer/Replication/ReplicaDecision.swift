import LarderReplication
import LarderWire

/// The effect of a request on the item that its key has.
struct ReplicaDecision {
    /// The key's new item.
    struct Change {
        /// nil: the key is removed.
        var value: [UInt8]?
        var flags: UInt32 = 0
        /// Whether the change does not depend on the item that the key has when it is applied.
        var isUnconditional = false
    }

    /// nil: nothing is written.
    var change: Change?
    /// The answer, if the item is still the same when the change is applied.
    var outcome: ReplicaWrite.Outcome

    private init(_ change: Change? = nil, _ outcome: ReplicaWrite.Outcome) {
        self.change = change
        self.outcome = outcome
    }

    private static func nothing(_ reply: Reply) -> ReplicaDecision { ReplicaDecision(nil, .reply(reply)) }
    private static func nothing(meta code: MetaCode, valueLength: Int = 0) -> ReplicaDecision {
        ReplicaDecision(nil, .meta(code, valueLength: valueLength))
    }

    /// - Parameters:
    ///   - item: the key's item; nil: there is none.
    ///   - cas: its cas, if a client can know it.
    static func of(_ write: ReplicaWrite, _ item: ReplicaItem?, cas: UInt64?) -> ReplicaDecision {
        switch write.request.verb {
        case .store: store(write, item, cas)
        case .delete: delete(write, item, cas)
        case .arithmetic: arithmetic(write, item, cas)
        case .metaStore: metaStore(write, item, cas)
        case .metaDelete: metaDelete(write, item, cas)
        case .metaArithmetic: metaArithmetic(write, item, cas)
        case .flushAll: ReplicaDecision(Change(isUnconditional: true), .reply(.ok))
        default: nothing(.notReplicated)
        }
    }

    // MARK: Classic and binary

    private static func store(_ write: ReplicaWrite, _ item: ReplicaItem?, _ cas: UInt64?) -> ReplicaDecision {
        let wanted = write.casIsEnabled ? write.request.cas : 0
        var mode = write.request.storeMode
        // A binary `set`, `add` or `replace` with a cas is a compare-and-swap.
        if wanted != 0, mode == .set || mode == .add || mode == .replace { mode = .compareAndSwap }
        let change = Change(
            value: write.value, flags: write.request.clientFlags, isUnconditional: mode == .set)
        switch mode {
        case .set: return ReplicaDecision(change, .reply(.stored))
        case .add: return item == nil ? ReplicaDecision(change, .reply(.stored)) : nothing(.notStored)
        case .replace: return item == nil ? nothing(.notStored) : ReplicaDecision(change, .reply(.stored))
        case .compareAndSwap:
            guard item != nil else { return nothing(.notFound) }
            return wanted != 0 && wanted == cas ? ReplicaDecision(change, .reply(.stored)) : nothing(.exists)
        case .append, .prepend:
            guard let item else { return nothing(.notStored) }
            guard wanted == 0 || wanted == cas else { return nothing(.exists) }
            let value = mode == .append ? item.value + write.value : write.value + item.value
            guard value.count <= write.valueBytesMax else { return nothing(.notStored) }
            return ReplicaDecision(Change(value: value, flags: item.flags), .reply(.stored))
        }
    }

    private static func delete(_ write: ReplicaWrite, _ item: ReplicaItem?, _ cas: UInt64?) -> ReplicaDecision {
        guard item != nil else { return nothing(.notFound) }
        let wanted = write.request.cas
        guard wanted == 0 || wanted == cas else { return nothing(.exists) }
        return ReplicaDecision(Change(isUnconditional: wanted == 0), .reply(.deleted))
    }

    /// A number may have this many bytes, the spaces behind it counted.
    private static let numberLengthMax = 512 << 10

    private static func number(_ item: ReplicaItem) -> UInt64? {
        guard !item.value.isEmpty, item.value.count <= numberLengthMax else { return nil }
        return item.value.withUnsafeBufferPointer { bytes in
            bytes.baseAddress.flatMap { DecimalText.unsigned64($0, bytes.count) }
        }
    }

    /// A number as a value. A shorter one keeps the old length, with spaces behind it.
    private static func text(_ number: UInt64, over item: ReplicaItem?) -> [UInt8] {
        let digits = Array(String(number).utf8)
        return digits + [UInt8](repeating: 0x20, count: max(0, (item?.value.count ?? 0) - digits.count))
    }

    private static func sum(_ old: UInt64, _ delta: UInt64, decrements: Bool) -> UInt64 {
        decrements ? old &- min(old, delta) : old &+ delta
    }

    private static func arithmetic(_ write: ReplicaWrite, _ item: ReplicaItem?, _ cas: UInt64?) -> ReplicaDecision {
        let request = write.request
        let decrements = request.options.decrements
        let new: UInt64
        if let item {
            // As in memcached, an empty or long value is no number before its cas is compared.
            guard !item.value.isEmpty, item.value.count <= numberLengthMax else { return nothing(.nonNumericValue) }
            guard request.cas == 0 || request.cas == cas else { return nothing(.exists) }
            guard let old = number(item) else { return nothing(.nonNumericValue) }
            new = sum(old, request.number, decrements: decrements)
        } else if request.options.createsItem {
            new = request.initialValue
        } else if let initial = write.limits.mathInitial {
            new = sum(initial, request.number, decrements: decrements)
        } else {
            return nothing(.notFound)
        }
        return ReplicaDecision(
            Change(value: text(new, over: item), flags: item?.flags ?? 0), .number(new, cas: 0))
    }

    // MARK: Meta

    private static func wantedCas(_ write: ReplicaWrite) -> UInt64? {
        guard write.request.meta.flags.has(UInt8(ascii: "C")) else { return nil }
        if write.casIsEnabled { return write.request.cas }
        return write.request.cas == 0 ? nil : 0
    }

    private static func metaStore(_ write: ReplicaWrite, _ item: ReplicaItem?, _ cas: UInt64?) -> ReplicaDecision {
        let flags = write.request.meta.flags
        let wanted = wantedCas(write)
        let length = write.value.count
        func stored(_ change: Change) -> ReplicaDecision {
            ReplicaDecision(change, .meta(.done, valueLength: change.value?.count ?? 0))
        }
        let plain = Change(value: write.value, flags: write.request.clientFlags)
        switch write.request.meta.mode {
        case UInt8(ascii: "E"):
            return item == nil ? stored(plain) : nothing(meta: .notStored, valueLength: length)
        case UInt8(ascii: "A"), UInt8(ascii: "P"):
            guard let item else {
                return flags.has(UInt8(ascii: "N")) ? stored(plain) : nothing(meta: .notStored, valueLength: length)
            }
            if let wanted, wanted != cas { return nothing(meta: .exists, valueLength: length) }
            let isAppended = write.request.meta.mode == UInt8(ascii: "A")
            let value = isAppended ? item.value + write.value : write.value + item.value
            guard value.count <= write.valueBytesMax else { return nothing(meta: .notStored, valueLength: length) }
            return stored(Change(value: value, flags: item.flags))
        case UInt8(ascii: "R") where wanted == nil:
            return item == nil ? nothing(meta: .notStored, valueLength: length) : stored(plain)
        default:
            guard flags.has(UInt8(ascii: "C")) else {
                return stored(Change(value: write.value, flags: write.request.clientFlags, isUnconditional: true))
            }
            guard item != nil else { return nothing(meta: .notFound, valueLength: length) }
            // 0 is no item's cas.
            guard let wanted, wanted != 0, wanted == cas else { return nothing(meta: .exists, valueLength: length) }
            return stored(plain)
        }
    }

    private static func metaDelete(_ write: ReplicaWrite, _ item: ReplicaItem?, _ cas: UInt64?) -> ReplicaDecision {
        guard item != nil else { return nothing(meta: .notFound) }
        let wanted = wantedCas(write)
        if let wanted, wanted != cas { return nothing(meta: .exists) }
        return ReplicaDecision(Change(isUnconditional: wanted == nil), .meta(.done))
    }

    private static func metaArithmetic(
        _ write: ReplicaWrite, _ item: ReplicaItem?, _ cas: UInt64?
    ) -> ReplicaDecision {
        let request = write.request
        guard let item else {
            guard request.meta.flags.has(UInt8(ascii: "N")) else { return nothing(meta: .notFound) }
            return ReplicaDecision(
                Change(value: text(request.initialValue, over: nil)),
                .metaNumber(request.initialValue, cas: 0, isCreated: true))
        }
        // Here 0 compares nothing.
        if let wanted = wantedCas(write), request.cas != 0, wanted != cas, !item.value.isEmpty {
            return nothing(meta: .exists)
        }
        guard let old = number(item) else { return nothing(.nonNumericValue) }
        let decrements = request.meta.mode == UInt8(ascii: "D") || request.meta.mode == UInt8(ascii: "-")
        let new = sum(old, request.number, decrements: decrements)
        return ReplicaDecision(
            Change(value: text(new, over: item), flags: item.flags), .metaNumber(new, cas: 0, isCreated: false))
    }
}
