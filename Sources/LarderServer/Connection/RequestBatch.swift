import LarderStore
import LarderWire

/// Where a worker notes what it is about to answer: many keys together, or many values to be stored.
struct RequestBatch {
    let room = StepRoom()
    let keys: UnsafeMutablePointer<RetrievalKey>
    let sets: UnsafeMutablePointer<ArrivedSet>
    let lookups: UnsafeMutablePointer<Lookup>

    init() {
        keys = room.keys
        sets = room.sets
        lookups = .allocate(capacity: StepRoom.countMax)
        // SAFETY: the address is never read: a key takes its place first.
        lookups.initialize(repeating: Lookup(key: UnsafeRawPointer(keys), keyLength: 0), count: StepRoom.countMax)
    }

    func deallocate() {
        room.deallocate()
        lookups.deallocate()
    }
}
