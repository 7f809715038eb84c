import Glibc

/// Items by the time of their last use: a list in the process's memory, and a table that finds an
/// item's place in it by the hash of its key, which stays when the item moves.
///
/// Invariants:
/// - `nodes[0]` closes the circle: behind it is what was used last, before it what was not for longest;
/// - `table` has each other node once, where linear probing from its hash finds it.
///
/// Memory comes from the system page by page as items come, and goes back when all are forgotten.
struct RecencyList {
    private struct Node {
        var hash: UInt64
        var next: UInt32
        var previous: UInt32
        /// Items with this very hash: one, but for a coincidence.
        var items: UInt32
        var reserved: UInt32
    }

    private let nodes: SharedArray<Node>
    private let table: SharedArray<UInt32>
    private let capacity: Int
    private let tableMask: Int
    /// Nodes handed out so far, the closing one included.
    private var used: UInt32 = 1
    /// The first of the nodes that were given back, linked by `next`.
    private var free: UInt32 = 0
    private(set) var count = 0

    /// - Parameter itemsMax: how many items there can be at a time.
    /// - Returns: nil when the system has no addresses left.
    init?(itemsMax: Int) {
        // One for the item that comes before another goes, one that closes the circle.
        capacity = min(itemsMax + 2, Int(UInt32.max))
        let tableCount = 1 << (Int.bitWidth - (2 * capacity).leadingZeroBitCount)
        tableMask = tableCount - 1
        guard let nodes = Self.map(Node.self, capacity) else { return nil }
        guard let table = Self.map(UInt32.self, tableCount) else {
            munmap(nodes.start, capacity * MemoryLayout<Node>.stride)
            return nil
        }
        self.nodes = nodes
        self.table = table
    }

    func deallocate() {
        munmap(nodes.start, capacity * MemoryLayout<Node>.stride)
        munmap(table.start, (tableMask + 1) * MemoryLayout<UInt32>.stride)
    }

    private static func map<T>(_ type: T.Type, _ count: Int) -> SharedArray<T>? {
        let bytes = count * MemoryLayout<T>.stride
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
        // SAFETY: a fresh mapping of zeros, which are valid nodes and an empty table.
        guard let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, flags, -1, 0), memory != MAP_FAILED else {
            return nil
        }
        return SharedArray(memory.bindMemory(to: type, capacity: count), count: count)
    }

    // MARK: Use

    /// An item was stored under a key that had none.
    mutating func insert(_ hash: UInt64) {
        count += 1
        let place = find(hash)
        if table[place] != 0 {
            nodes[Int(table[place])].items += 1
            return moveToFront(table[place])
        }
        guard let node = take() else { return }
        nodes[Int(node)] = Node(hash: hash, next: 0, previous: 0, items: 1, reserved: 0)
        linkInFront(node)
        table[place] = node
    }

    /// An item was found, or replaced.
    func touch(_ hash: UInt64) {
        let node = table[find(hash)]
        if node != 0, nodes[0].next != node { moveToFront(node) }
    }

    /// An item is gone.
    mutating func remove(_ hash: UInt64) {
        let place = find(hash)
        let node = table[place]
        guard node != 0 else { return }
        count -= 1
        nodes[Int(node)].items -= 1
        if nodes[Int(node)].items == 0 { forget(node, at: place) }
    }

    /// The hash of what was not used for longest, but for one.
    func leastRecent(except spared: UInt64) -> UInt64? {
        var node = nodes[0].previous
        if node != 0, nodes[Int(node)].hash == spared { node = nodes[Int(node)].previous }
        return node == 0 ? nil : nodes[Int(node)].hash
    }

    mutating func removeAll() {
        // The pages go back, and are zeros when they come again.
        madvise(nodes.start, capacity * MemoryLayout<Node>.stride, MADV_DONTNEED)
        madvise(table.start, (tableMask + 1) * MemoryLayout<UInt32>.stride, MADV_DONTNEED)
        used = 1
        free = 0
        count = 0
    }

    /// All hashes, the most recently used first, and how many items each stands for.
    func visitAll(_ body: (_ hash: UInt64, _ items: Int) -> Void) {
        var node = nodes[0].next
        while node != 0 {
            body(nodes[Int(node)].hash, Int(nodes[Int(node)].items))
            node = nodes[Int(node)].next
        }
    }

    // MARK: Nodes

    private mutating func take() -> UInt32? {
        if free != 0 {
            let node = free
            free = nodes[Int(node)].next
            return node
        }
        guard Int(used) < capacity else { return nil }
        used += 1
        return used - 1
    }

    private mutating func forget(_ node: UInt32, at place: Int) {
        unlink(node)
        clear(place)
        nodes[Int(node)].next = free
        free = node
    }

    private func linkInFront(_ node: UInt32) {
        let first = nodes[0].next
        nodes[Int(node)].next = first
        nodes[Int(node)].previous = 0
        nodes[Int(first)].previous = node
        nodes[0].next = node
    }

    private func unlink(_ node: UInt32) {
        let next = nodes[Int(node)].next
        let previous = nodes[Int(node)].previous
        nodes[Int(previous)].next = next
        nodes[Int(next)].previous = previous
    }

    private func moveToFront(_ node: UInt32) {
        unlink(node)
        linkInFront(node)
    }

    // MARK: Table

    /// Where a hash is in the table, or where it would be put.
    private func find(_ hash: UInt64) -> Int {
        var place = Int(truncatingIfNeeded: hash) & tableMask
        while table[place] != 0, nodes[Int(table[place])].hash != hash { place = (place + 1) & tableMask }
        return place
    }

    /// Empties a place, and moves up what probing would no longer find behind it.
    private func clear(_ place: Int) {
        var gap = place
        var next = (gap + 1) & tableMask
        while table[next] != 0 {
            let home = Int(truncatingIfNeeded: nodes[Int(table[next])].hash) & tableMask
            if (next - home) & tableMask >= (next - gap) & tableMask {
                table[gap] = table[next]
                gap = next
            }
            next = (next + 1) & tableMask
        }
        table[gap] = 0
    }
}
