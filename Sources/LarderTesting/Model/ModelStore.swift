import LarderStore

/// What a store should hold: a dictionary.
///
/// A store that evicts may have lost any item at any time, so an answer that says "not there" is
/// believed, and the item forgotten; every other answer has to agree exactly.
struct ModelStore {
    private(set) var entries: [Int: FoundItem] = [:]
    private var flushAt = Int64.max
    private var casLast: UInt64 = 0
    /// Whether items may be lost, and stores of what fits be refused.
    var mayLose: Bool
    var mayRefuse: Bool

    init(mayLose: Bool, mayRefuse: Bool) {
        self.mayLose = mayLose
        self.mayRefuse = mayRefuse
    }

    mutating func begin(now: Int64) {
        if now >= flushAt { flush() }
    }
    mutating func flush() {
        entries = [:]
        flushAt = Int64.max
    }
    mutating func flush(at time: Int64) { flushAt = time }

    func live(_ key: Int, now: Int64) -> FoundItem? {
        entries[key].flatMap { $0.expiry > now ? $0 : nil }
    }

    /// What is wrong with an answer to `find`, or nil.
    mutating func find(_ key: Int, _ found: FoundItem?, now: Int64) -> String? {
        let expected = live(key, now: now)
        if found == expected { return nil }
        guard found == nil, mayLose else {
            return "key \(key): found \(Self.text(found)), expected \(Self.text(expected))"
        }
        entries[key] = nil
        return nil
    }

    static func text(_ item: FoundItem?) -> String {
        item.map { "\($0.value.count) bytes, flags \($0.clientFlags), expiry \($0.expiry), cas \($0.cas)" }
            ?? "nothing"
    }

    /// What is wrong with an answer to `store`, or nil.
    mutating func store(
        _ mode: WriteMode, _ key: Int, _ wanted: FoundItem, _ result: StoreResult, now: Int64
    ) -> String? {
        let old = live(key, now: now)
        let failure =
            "key \(key): \(mode) answered \(result.outcome), there was \(Self.text(old)), cas asked \(wanted.cas)"
        switch result.outcome {
        case .tooLarge: return failure
        case .noMemory:
            if mode == .set { entries[key] = nil }
            return mayRefuse ? nil : failure
        case .notFound, .notStored:
            if mode == .set || (mode == .compareAndSwap) != (result.outcome == .notFound) { return failure }
            if mode == .add { return old == nil ? failure : nil }
            defer { entries[key] = nil }
            return old == nil || mayLose ? nil : failure
        case .exists:
            return mode == .compareAndSwap && old.map { $0.cas != wanted.cas } == true ? nil : failure
        case .stored: break
        }
        if mode == .add, old != nil, !mayLose { return failure }
        if mode != .add, mode != .set, old == nil { return failure }
        if mode == .compareAndSwap, old?.cas != wanted.cas { return failure }
        guard result.cas > casLast else { return "\(failure), cas \(result.cas) after \(casLast)" }
        casLast = result.cas
        entries[key] = combined(mode, old, wanted, cas: result.cas)
        return nil
    }

    private func combined(_ mode: WriteMode, _ old: FoundItem?, _ wanted: FoundItem, cas: UInt64) -> FoundItem {
        var new = wanted
        if let old, mode == .append || mode == .prepend {
            new = old
            new.value = mode == .append ? old.value + wanted.value : wanted.value + old.value
        }
        new.cas = cas
        return new
    }

    mutating func delete(_ key: Int, cas: UInt64, _ outcome: StoreOutcome, now: Int64) -> String? {
        let old = live(key, now: now)
        let failure = "key \(key): delete answered \(outcome), there was \(Self.text(old)), cas asked \(cas)"
        switch outcome {
        case .stored:
            defer { entries[key] = nil }
            return old.map { cas == 0 || $0.cas == cas } == true ? nil : failure
        case .exists: return old.map { cas != 0 && $0.cas != cas } == true ? nil : failure
        case .notFound:
            defer { entries[key] = nil }
            return old == nil || mayLose ? nil : failure
        default: return failure
        }
    }

    mutating func touch(_ key: Int, expiry: Int64, _ outcome: StoreOutcome, now: Int64) -> String? {
        let old = live(key, now: now)
        let failure = "key \(key): touch to \(expiry) answered \(outcome), there was \(Self.text(old))"
        switch outcome {
        case .stored:
            guard old != nil else { return failure }
            entries[key]?.expiry = expiry
            return nil
        case .notFound:
            defer { entries[key] = nil }
            return old == nil || mayLose ? nil : failure
        case .noMemory: return mayRefuse && old != nil ? nil : failure
        default: return failure
        }
    }
}
