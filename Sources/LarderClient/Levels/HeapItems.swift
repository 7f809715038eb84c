/// Items in memory, in the order of their last use.
///
/// Invariants: `places` has the node of each item; the nodes form one list, from `newest` to `oldest`, in both
/// directions; `footprintBytes` is the sum of the payloads.
struct HeapItems: Sendable {
    private struct Node {
        var item: LevelItem
        var newer: Int?
        var older: Int?
    }

    private var places: [String: Int] = [:]
    private var nodes: [Node?] = []
    private var vacant: [Int] = []
    private var newest: Int?
    private var oldest: Int?
    private var ends = EndSchedule()
    private(set) var footprintBytes = 0

    var count: Int { places.count }
    var keys: [String] { Array(places.keys) }

    /// The item, as it is, not used by this.
    func item(_ key: String) -> LevelItem? { places[key].flatMap { nodes[$0]?.item } }

    /// The item, which becomes the most recently used one.
    mutating func use(_ key: String) -> LevelItem? {
        guard let place = places[key], let item = nodes[place]?.item else { return nil }
        if newest != place {
            unlink(place)
            linkNewest(place)
        }
        return item
    }

    /// Puts an item in, as the most recently used one.
    /// - Returns: what was under its key.
    mutating func put(_ item: LevelItem) -> LevelItem? {
        let previous = remove(item.key)
        let node = Node(item: item)
        let place: Int
        if let free = vacant.popLast() {
            place = free
            nodes[place] = node
        } else {
            place = nodes.count
            nodes.append(node)
        }
        places[item.key] = place
        linkNewest(place)
        footprintBytes += item.payload.count
        ends.set(item.key, item.endMilliseconds)
        return previous
    }

    mutating func remove(_ key: String) -> LevelItem? {
        guard let place = places.removeValue(forKey: key), let item = nodes[place]?.item else { return nil }
        unlink(place)
        nodes[place] = nil
        vacant.append(place)
        footprintBytes -= item.payload.count
        ends.set(key, nil)
        return item
    }

    mutating func removeLeastRecentlyUsed() -> LevelItem? {
        guard let oldest, let key = nodes[oldest]?.item.key else { return nil }
        return remove(key)
    }

    /// An item that has ended.
    mutating func removeEnded(at now: Int64) -> LevelItem? {
        ends.popEnded(at: now).flatMap { remove($0) }
    }

    /// When the next item ends.
    mutating func nextEnd() -> Int64? { ends.next() }

    /// - Returns: all that there was.
    mutating func removeAll() -> [LevelItem] {
        defer { self = HeapItems() }
        return nodes.compactMap { $0?.item }
    }

    private mutating func unlink(_ place: Int) {
        guard let node = nodes[place] else { return }
        if let newer = node.newer { nodes[newer]?.older = node.older } else { newest = node.older }
        if let older = node.older { nodes[older]?.newer = node.newer } else { oldest = node.newer }
    }

    private mutating func linkNewest(_ place: Int) {
        nodes[place]?.newer = nil
        nodes[place]?.older = newest
        if let newest { nodes[newest]?.newer = place } else { oldest = place }
        newest = place
    }
}
