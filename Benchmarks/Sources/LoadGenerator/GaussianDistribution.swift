import Glibc

/// Numbers of a range, those near the median oftener: a bell that is cut off at the ends of the range.
struct GaussianDistribution {
    private let median: Double
    private let deviation: Double
    private let range: ClosedRange<Double>

    /// nil for what is not said: memtier's defaults, the middle of the range and a sixth of it.
    init(_ keys: ClosedRange<UInt64>, median: Double?, deviation: Double?) {
        let (low, high) = (Double(keys.lowerBound), Double(keys.upperBound))
        range = low...high
        self.median = median ?? (low + high) / 2
        self.deviation = deviation ?? max(1, (high - low) / 6)
    }

    /// Marsaglia's polar method. The checked options see to it that a third of the bell or more is in the range.
    func next(_ random: inout SeededRandom) -> UInt64 {
        while true {
            let (x, y) = (random.nextUnit() * 2 - 1, random.nextUnit() * 2 - 1)
            let square = x * x + y * y
            guard square > 0 && square < 1 else { continue }
            let number = (median + deviation * x * (-2 * log(square) / square).squareRoot()).rounded()
            if range.contains(number) { return UInt64(number) }
        }
    }
}
