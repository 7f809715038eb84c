/// The flags of a meta command: bit n stands for the letter whose code is 64 + n.
///
/// A plain number, so that the executing module asks it without a call.
package struct MetaFlags: Sendable, Equatable {
    package var bits: UInt64

    package init(bits: UInt64 = 0) { self.bits = bits }
}

/// What a meta command asks, beyond what it has in common with the classic one. Small, since every
/// connection has one.
package struct MetaArguments: Sendable {
    package var flags = MetaFlags()
    /// `E`
    package var newCas: UInt64 = 0
    /// The flags as sent, from the first one's letter on, for the answer to go through in their order.
    package var flagsStart: UInt32 = 0
    package var flagsLength: UInt32 = 0
    /// `N`: seconds as sent.
    package var vivifyExptime: Int32 = 0
    /// `R`: seconds as sent.
    package var recacheExptime: Int32 = 0
    /// Bytes of a base64 key once it is decoded; 0 for any other.
    package var decodedKeyLength: UInt8 = 0
    /// `M`: the letter behind it; 0 without one.
    package var mode: UInt8 = 0
    /// `T` stands behind `N`, so that it has the last word on a new item's life.
    package var touchIsLast = false
    /// `R` stands behind `T`, and so looks at what that has set.
    package var recacheFollowsTouch = false
    var hasTouch = false
    /// `O` with more behind it than an answer gives back.
    var opaqueIsTooLong = false
}
