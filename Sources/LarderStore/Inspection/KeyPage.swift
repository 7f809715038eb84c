/// A page of the keys that begin with a prefix: a walk over the index that ends after a number of keys.
///
/// The cursor is a place in the walk's order, so a page needs no memory in the server between two requests. A key that is
/// there all the time is on exactly one page (the idea of Redis's SCAN).
package struct KeyPage {
    /// How each key begins.
    package let prefix: [UInt8]
    private var walk: ItemWalk
    /// Items before this place belong to earlier pages.
    private let start: UInt64
    private var keysLeft: Int
    /// Where the next page begins; 0: this was the last one. It is known when `isComplete` is true.
    package private(set) var cursor: UInt64 = 0
    /// Whether the page has all its keys.
    package private(set) var isComplete = false

    /// - Parameters:
    ///   - cursor: 0, or the cursor of the page before.
    ///   - keysMax: keys of the page; at least 1.
    package init(from cursor: UInt64, prefix: [UInt8], keysMax: Int) {
        self.prefix = prefix
        walk = ItemWalk(at: cursor)
        start = cursor
        keysLeft = max(1, keysMax)
    }

    /// The longest key that a client can name.
    private static let keyLengthMax = 250

    /// Ends the page early; the cursor is the place that the walk has reached.
    package mutating func end() {
        guard !isComplete else { return }
        isComplete = true
        cursor = walk.isComplete ? 0 : walk.place
    }

    /// Steps over one bucket. The items of it that belong to the page are `items[0..<n]` for the returned n.
    fileprivate mutating func step(
        _ session: borrowing Session, _ items: UnsafeMutablePointer<Item>, now: Int64
    ) -> Int {
        let count = session.nextItems(&walk, into: items)
        var taken = 0
        for number in 0..<count {
            let item = items[number]
            // The state of a replicated cache has a longer key.
            guard item.keyLength <= Self.keyLengthMax, session.expiry(of: item) > now, item.keyHasPrefix(prefix),
                session.walkPlace(of: item) >= start
            else { continue }
            items[taken] = item
            taken += 1
        }
        if taken > keysLeft { taken = cut(session, items, taken) }
        keysLeft -= taken
        if keysLeft <= 0 || walk.isComplete { end() }
        return taken
    }

    /// Ends the page within a bucket. Two keys with the same hash stay on one page.
    private mutating func cut(_ session: borrowing Session, _ items: UnsafeMutablePointer<Item>, _ count: Int) -> Int {
        var ordered: [(place: UInt64, item: Item)] = []
        for number in 0..<count { ordered.append((session.walkPlace(of: items[number]), items[number])) }
        ordered.sort { $0.place < $1.place }
        for number in 0..<count { items[number] = ordered[number].item }
        var end = keysLeft
        while end < count, ordered[end].place == ordered[end - 1].place { end += 1 }
        if end < count {
            cursor = ordered[end].place
            isComplete = true
        }
        return end
    }
}

extension Session {
    /// Steps over one bucket of the index, and returns how many of its items are on the page. They are valid as those of
    /// `find` are. Takes no lock.
    /// - Parameter items: room for `ItemWalk.itemsMax`.
    package func nextItems(of page: inout KeyPage, into items: UnsafeMutablePointer<Item>, now: Int64) -> Int {
        page.isComplete ? 0 : page.step(self, items, now: now)
    }

    /// The place of an item in the order of walks.
    fileprivate func walkPlace(of item: Item) -> UInt64 { ItemWalk.place(ofHash: state.key(of: item).hash) }
}

extension Item {
    fileprivate func keyHasPrefix(_ prefix: [UInt8]) -> Bool {
        // SAFETY: an item has `keyLength` bytes of key.
        UnsafeRawBufferPointer(start: key, count: keyLength).starts(with: prefix)
    }
}

extension Store {
    /// Buckets of one piece: between two pieces the session lets go of all items.
    private static let bucketsOfPiece = 32

    /// A page of the keys in this store, for a thread that serves no clients.
    /// - Parameters:
    ///   - bucketsMax: buckets of the index to look at; a page may end early because of it.
    /// - Returns: the keys, and the cursor of the next page; 0: this was the last one.
    package func keys(
        _ page: KeyPage, bucketsMax: Int, now: Int64
    ) throws(StoreError) -> (keys: [[UInt8]], cursor: UInt64) {
        let session = try makeSession()
        var page = page
        var keys: [[UInt8]] = []
        var bucketsLeft = bucketsMax
        while !page.isComplete {
            guard bucketsLeft > 0, !session.isCondemned else {
                page.end()
                break
            }
            keys += session.piece(of: &page, buckets: min(bucketsLeft, Self.bucketsOfPiece), now: now)
            bucketsLeft -= Self.bucketsOfPiece
        }
        return (keys, page.cursor)
    }
}

extension Session {
    fileprivate func piece(of page: inout KeyPage, buckets: Int, now: Int64) -> [[UInt8]] {
        begin(now: now)
        defer { end() }
        return withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return [] }
            var keys: [[UInt8]] = []
            for _ in 0..<buckets where !page.isComplete {
                for number in 0..<nextItems(of: &page, into: items, now: now) {
                    // SAFETY: an item has `keyLength` bytes of key.
                    keys.append(
                        [UInt8](UnsafeRawBufferPointer(start: items[number].key, count: items[number].keyLength)))
                }
            }
            return isCondemned ? [] : keys
        }
    }
}
