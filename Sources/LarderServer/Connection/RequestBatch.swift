import LarderStore
import LarderWire

/// Where a worker notes what it is about to answer: many keys together, or many values to be stored.
struct RequestBatch {
    /// As many as cover a cache miss: more would only fill the processor's cache.
    static let countMax = 16
    let keys: UnsafeMutablePointer<RetrievalKey>
    let lookups: UnsafeMutablePointer<Lookup>
    let sets: UnsafeMutablePointer<ArrivedSet>

    init() {
        keys = .allocate(capacity: Self.countMax)
        sets = .allocate(capacity: Self.countMax)
        sets.initialize(repeating: ArrivedSet(), count: Self.countMax)
        keys.initialize(repeating: RetrievalKey(), count: Self.countMax)
        lookups = .allocate(capacity: Self.countMax)
        // SAFETY: the address is never read: a key takes its place first.
        lookups.initialize(repeating: Lookup(key: UnsafeRawPointer(keys), keyLength: 0), count: Self.countMax)
    }

    func deallocate() {
        keys.deallocate()
        lookups.deallocate()
        sets.deallocate()
    }
}
