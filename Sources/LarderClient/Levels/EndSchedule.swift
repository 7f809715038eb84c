/// When keys end, the next one first: a binary heap in which keys that have another end by now are passed over.
struct EndSchedule: Sendable {
    private struct Entry {
        var end: Int64
        var key: String
    }

    private var ends: [String: Int64] = [:]
    private var heap: [Entry] = []

    /// Gives a key an end, or another one, or none.
    mutating func set(_ key: String, _ end: Int64?) {
        guard let end else {
            ends[key] = nil
            return
        }
        guard ends.updateValue(end, forKey: key) != end else { return }
        heap.append(Entry(end: end, key: key))
        rise(heap.count - 1)
        // What is passed over takes no more room than what counts.
        if heap.count > 64, heap.count > 2 * ends.count { rebuild() }
    }

    mutating func removeAll() {
        ends = [:]
        heap = []
    }

    /// The next end.
    mutating func next() -> Int64? {
        while let first = heap.first {
            if ends[first.key] == first.end { return first.end }
            dropFirst()
        }
        return nil
    }

    /// Takes out a key that has ended.
    mutating func popEnded(at now: Int64) -> String? {
        guard let end = next(), end <= now, let key = heap.first?.key else { return nil }
        ends[key] = nil
        dropFirst()
        return key
    }

    private mutating func rebuild() {
        heap = ends.map { Entry(end: $0.value, key: $0.key) }.sorted { $0.end < $1.end }
    }

    private mutating func dropFirst() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        sink(0)
    }

    private mutating func rise(_ start: Int) {
        var place = start
        while place > 0, case let parent = (place - 1) / 2, heap[place].end < heap[parent].end {
            heap.swapAt(place, parent)
            place = parent
        }
    }

    private mutating func sink(_ start: Int) {
        var place = start
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2]
            where child < heap.count && heap[child].end < heap[least].end {
                least = child
            }
            guard least != place else { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}
