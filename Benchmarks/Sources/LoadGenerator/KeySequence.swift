/// memtier_benchmark's letters for how keys are chosen.
enum KeyPattern: Character, CaseIterable, Sendable {
    /// Evenly at random over the whole range.
    case random = "R"
    /// One after the other, each connection over the whole range.
    case sequential = "S"
    /// One after the other, each connection over a part of its own.
    case parallel = "P"
    /// At random, low numbers oftener, by Zipf's law.
    case zipf = "Z"
    /// At random, those near the median oftener, by Gauss's bell.
    case gaussian = "G"
}

/// The keys that one connection asks for, or stores.
struct KeySequence {
    private let pattern: KeyPattern
    /// The first key and how many there are.
    private let first: UInt64
    private let count: UInt64
    /// Sequential patterns: how far into the range.
    private var position: UInt64 = 0
    private let zipf: ZipfDistribution
    private let gaussian: GaussianDistribution

    /// The keys of connection number `connection` of `connections`.
    init(
        pattern: KeyPattern, keys: ClosedRange<UInt64>, exponent: Double = 1, median: Double? = nil,
        deviation: Double? = nil, connection: Int, connections: Int
    ) {
        self.pattern = pattern
        let part = pattern == .parallel ? keys.part(connection, of: connections) : keys
        first = part.lowerBound
        count = part.upperBound - part.lowerBound + 1
        zipf = ZipfDistribution(count: count, exponent: exponent)
        gaussian = GaussianDistribution(keys, median: median, deviation: deviation)
    }

    @inline(__always)
    mutating func next(_ random: inout SeededRandom) -> UInt64 {
        switch pattern {
        case .random:
            return first &+ random.next(below: count)
        case .sequential, .parallel:
            let key = first &+ position
            position &+= 1
            if position == count { position = 0 }
            return key
        case .zipf:
            return first &+ zipf.next(&random) &- 1
        case .gaussian:
            return gaussian.next(&random)
        }
    }
}

extension ClosedRange<UInt64> {
    /// Part number `index` of `parts` nearly equal ones that cover the range; with more parts than keys
    /// some have the same key, for none may be empty.
    func part(_ index: Int, of parts: Int) -> ClosedRange<UInt64> {
        let count = upperBound - lowerBound + 1
        let start = count.multipliedFullWidth(by: UInt64(index))
        let end = count.multipliedFullWidth(by: UInt64(index) + 1)
        let first = Swift.min(lowerBound + UInt64(parts).dividingFullWidth(start).quotient, upperBound)
        let next = lowerBound + UInt64(parts).dividingFullWidth(end).quotient
        return first...(Swift.max(first + 1, next) - 1)
    }
}
