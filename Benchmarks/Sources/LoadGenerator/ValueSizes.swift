/// How the lengths of values are spread over their range.
enum SizePattern: Character, Sendable {
    case random = "R"
    /// The longer, the higher the key's number: a key always has the same length.
    case growing = "S"
}

/// A length of --data-size-list, and its share.
struct SizeWeight: Equatable, Sendable {
    let size: Int
    let weight: Int
}

/// Chooses the length of a value.
///
/// SAFETY: the list is allocated by `init` and freed by `end`; it is only read in between.
struct ValueSizes {
    private enum Kind {
        case fixed, range, growing, list
    }

    private let kind: Kind
    private let shortest: Int
    private let span: UInt64
    private let firstKey: UInt64
    private let keyCount: UInt64
    /// Lengths with the sum of the weights up to and with each.
    private let list: UnsafeMutableBufferPointer<(size: Int, sum: UInt64)>

    init(_ options: Options) {
        shortest = options.dataSize.lowerBound
        span = UInt64(options.dataSize.count)
        firstKey = options.keys.lowerBound
        keyCount = options.keys.upperBound - options.keys.lowerBound + 1
        list = .allocate(capacity: options.sizeWeights.count)
        var sum: UInt64 = 0
        for (index, entry) in options.sizeWeights.enumerated() {
            sum += UInt64(entry.weight)
            list.initializeElement(at: index, to: (entry.size, sum))
        }
        kind =
            !options.sizeWeights.isEmpty
            ? .list : span == 1 ? .fixed : options.sizePattern == .growing ? .growing : .range
    }

    @inline(__always)
    func next(key: UInt64, _ random: inout SeededRandom) -> Int {
        switch kind {
        case .fixed: return shortest
        case .range: return shortest &+ Int(truncatingIfNeeded: random.next(below: span))
        case .growing:
            let place = (key &- firstKey).multipliedFullWidth(by: span)
            return shortest &+ Int(truncatingIfNeeded: keyCount.dividingFullWidth(place).quotient)
        case .list: return nextOfList(&random)
        }
    }

    /// A binary search for the first sum above a random number.
    private func nextOfList(_ random: inout SeededRandom) -> Int {
        let place = random.next(below: list[list.count - 1].sum)
        var (low, high) = (0, list.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if list[middle].sum > place { high = middle } else { low = middle + 1 }
        }
        return list[low].size
    }

    func end() { list.deallocate() }
}
