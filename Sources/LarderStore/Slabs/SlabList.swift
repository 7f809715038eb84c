/// Links of the lists of slabs; a slab is on at most one.
struct SlabLinks: Equatable {
    var next: UInt32 = SlabList.none
    var previous: UInt32 = SlabList.none
}

/// A doubly linked list of slabs, in the order in which they were appended. Under the space lock.
struct SlabList {
    static let none = UInt32.max
    private(set) var head = SlabList.none
    private(set) var tail = SlabList.none
    private(set) var count = 0

    mutating func append(_ slab: Int, _ links: SharedArray<SlabLinks>) {
        assert(links[slab] == SlabLinks() && first != slab, "slab \(slab) is on a list already")
        let number = UInt32(truncatingIfNeeded: slab)
        links[slab] = SlabLinks(next: Self.none, previous: tail)
        if tail == Self.none { head = number } else { links[Int(tail)].next = number }
        tail = number
        count += 1
    }

    /// Puts a slab before all others.
    mutating func prepend(_ slab: Int, _ links: SharedArray<SlabLinks>) {
        assert(links[slab] == SlabLinks() && first != slab, "slab \(slab) is on a list already")
        let number = UInt32(truncatingIfNeeded: slab)
        links[slab] = SlabLinks(next: head, previous: Self.none)
        if head == Self.none { tail = number } else { links[Int(head)].previous = number }
        head = number
        count += 1
    }

    mutating func remove(_ slab: Int, _ links: SharedArray<SlabLinks>) {
        let link = links[slab]
        assert(link.previous == Self.none ? first == slab : Int(links[Int(link.previous)].next) == slab)
        assert(link.next == Self.none ? Int(tail) == slab : Int(links[Int(link.next)].previous) == slab)
        if link.previous == Self.none { head = link.next } else { links[Int(link.previous)].next = link.next }
        if link.next == Self.none {
            tail = link.previous
        } else {
            links[Int(link.next)].previous = link.previous
        }
        links[slab] = SlabLinks()
        count -= 1
        assert(count >= 0 && (count == 0) == (head == Self.none))
    }

    /// The first slab, or nil.
    var first: Int? { head == Self.none ? nil : Int(head) }
}
