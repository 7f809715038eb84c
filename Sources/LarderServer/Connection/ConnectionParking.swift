import LarderWire

// While a store finds in its file what it held, requests that need it wait: each connection stops at its first one,
// which stays in its buffer, and goes on from there. What needs no store is answered.

extension Verb {
    /// Whether the answer to a request of this kind contains data of an item.
    var readsItems: Bool {
        switch self {
        case .retrieve, .arithmetic, .metaGet, .metaArithmetic, .metaDebug, .fetch: true
        default: false
        }
    }

    /// Whether a request of this kind meets the items of a store.
    var needsStore: Bool {
        switch self {
        case .version, .verbosity, .statistics, .shutdown, .quit, .noOperation, .listMechanisms, .authenticate: false
        default: true
        }
    }
}
