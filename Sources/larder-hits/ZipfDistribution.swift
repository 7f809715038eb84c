import Glibc
import LarderTesting

/// Chooses ranks 1 ... count with a probability proportional to rank^-exponent, by Hörmann and
/// Derflinger's rejection-inversion: no table, whatever the number of keys. The load generator, in another package, has
/// the same.
struct ZipfDistribution {
    private let count: Double
    private let exponent: Double
    private let integralOfFirst: Double
    private let integralOfAll: Double
    private let acceptance: Double

    init(count: UInt64, exponent: Double) {
        self.count = Double(count)
        self.exponent = exponent
        integralOfFirst = Self.integral(1.5, exponent) - 1
        integralOfAll = Self.integral(Double(count) + 0.5, exponent)
        acceptance =
            2 - Self.integralInverse(Self.integral(2.5, exponent) - Self.density(2, exponent), exponent)
    }

    func next(_ random: inout SeededRandom) -> UInt64 {
        while true {
            let area = integralOfAll + random.nextUnit() * (integralOfFirst - integralOfAll)
            let place = Self.integralInverse(area, exponent)
            let rank = min(max((place + 0.5).rounded(.down), 1), count)
            if rank - place <= acceptance
                || area >= Self.integral(rank + 0.5, exponent) - Self.density(rank, exponent)
            {
                return UInt64(rank)
            }
        }
    }

    private static func density(_ x: Double, _ exponent: Double) -> Double {
        exp(-exponent * log(x))
    }

    private static func integral(_ x: Double, _ exponent: Double) -> Double {
        let logarithm = log(x)
        return expm1OverX((1 - exponent) * logarithm) * logarithm
    }

    private static func integralInverse(_ x: Double, _ exponent: Double) -> Double {
        // Rounding may carry the product just below -1, where the logarithm ends.
        let product = max(x * (1 - exponent), -1)
        return exp(log1pOverX(product) * x)
    }

    // Near 0, as with an exponent near 1, the quotients lose all digits; their series do not.

    private static func log1pOverX(_ x: Double) -> Double {
        abs(x) > 1e-8 ? log1p(x) / x : 1 - x * (0.5 - x * (1 / 3 - 0.25 * x))
    }

    private static func expm1OverX(_ x: Double) -> Double {
        abs(x) > 1e-8 ? expm1(x) / x : 1 + x * 0.5 * (1 + x / 3 * (1 + 0.25 * x))
    }
}

extension SeededRandom {
    /// An even choice of 0 ..< `bound`.
    mutating func next(below bound: UInt64) -> UInt64 {
        let bits: UInt64 = next()
        return bits.multipliedFullWidth(by: bound).high
    }

    /// An even choice of the numbers from 0 to below 1.
    fileprivate mutating func nextUnit() -> Double {
        let bits: UInt64 = next()
        return Double(bits &>> 11) * 0x1p-53
    }
}
