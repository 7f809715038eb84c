package import LarderStore

/// What a limited store holds: a list of items, the most recently used first. Every answer has to agree.
package struct LimitedModel {
    package struct Entry {
        package var key: Int
        package var value: [UInt8]
    }
    package let limits: StoreLimits
    package private(set) var entries: [Entry] = []
    package private(set) var full: Int64 = 0

    package init(_ limits: StoreLimits) { self.limits = limits }

    package func blocks(_ value: [UInt8]) -> Int {
        limits.isBitmap ? (value.count + limits.blockBytes - 1) / limits.blockBytes : 0
    }
    package var blocksTaken: Int { entries.reduce(0) { $0 + blocks($1.value) } }

    private func place(_ key: Int) -> Int? { entries.firstIndex { $0.key == key } }

    package func value(_ key: Int) -> [UInt8]? { place(key).map { entries[$0].value } }

    package mutating func use(_ key: Int) {
        guard let place = place(key) else { return }
        entries.insert(entries.remove(at: place), at: 0)
    }

    package mutating func remove(_ key: Int) -> Bool {
        guard let place = place(key) else { return false }
        entries.remove(at: place)
        return true
    }

    package mutating func clear() { entries = [] }

    package mutating func store(_ mode: WriteMode, _ key: Int, _ value: [UInt8]) -> StoreOutcome {
        var value = value
        let old = self.value(key)
        switch mode {
        case .add: if old != nil { return .notStored }
        case .replace: if old == nil { return .notStored }
        case .append:
            guard let old else { return .notStored }
            value = old + value
        case .prepend:
            guard let old else { return .notStored }
            value += old
        case .set, .compareAndSwap: break
        }
        func refused(_ outcome: StoreOutcome) -> StoreOutcome {
            if mode == .set { _ = remove(key) }
            return outcome
        }
        if value.count > limits.valueBytesMax || limits.isBitmap && blocks(value) > limits.blocksMax {
            return refused(.tooLarge)
        }
        if !fits(key, value) {
            full += 1
            if limits.purgesLeastRecentlyUsed {
                while !fits(key, value), let victim = entries.lastIndex(where: { $0.key != key }) {
                    entries.remove(at: victim)
                }
            } else if limits.clearsOnFull {
                clear()
                if mode == .replace || mode == .append || mode == .prepend { return .notStored }
            }
            if !fits(key, value) { return refused(.noMemory) }
        }
        _ = remove(key)
        entries.insert(Entry(key: key, value: value), at: 0)
        return .stored
    }

    private func fits(_ key: Int, _ value: [UInt8]) -> Bool {
        let old = self.value(key)
        let items = entries.count + (old == nil ? 1 : 0)
        let taken = blocksTaken - (old.map(blocks) ?? 0) + blocks(value)
        return items <= limits.itemsMax && (!limits.isBitmap || taken <= limits.blocksMax)
    }
}
