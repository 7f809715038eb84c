/// SplitMix64: every seed gives a full-period sequence of its own, in five instructions a number.
package struct SeededRandom {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    @inline(__always)
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        return mix(state)
    }

    /// An even choice of 0 ..< `bound`.
    @inline(__always)
    package mutating func next(below bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }

    /// An even choice of the numbers from 0 to below 1.
    package mutating func nextUnit() -> Double {
        Double(next() &>> 11) * 0x1p-53
    }
}

/// Spreads the bits of a number over the whole of the result.
@inline(__always)
func mix(_ number: UInt64) -> UInt64 {
    var bits = number
    bits = (bits ^ (bits &>> 30)) &* 0xbf58_476d_1ce4_e5b9
    bits = (bits ^ (bits &>> 27)) &* 0x94d0_49bb_1331_11eb
    return bits ^ (bits &>> 31)
}
