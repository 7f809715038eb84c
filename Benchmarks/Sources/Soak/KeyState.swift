/// Milliseconds since the campaign began.
typealias Moment = UInt32

let never = Moment.max

/// The contents of a key, as far as its owner knows.
struct Contents: Equatable {
    /// 0: no item.
    var version: UInt32 = 0
    var length: UInt32 = 0
    /// An earlier miss is a loss in a cache that does not evict.
    var liveUntil: Moment = never
    /// A hit is wrong if it was asked for later: the item has expired.
    var deadAfter: Moment = never

    static let nothing = Contents()
    var isNothing: Bool { version == 0 }
}

/// The state of a key, as far as its owner knows.
struct KeyState {
    /// The last acknowledged contents.
    var known = Contents()
    /// The other possible contents: the connection ended before the answer to a change.
    var other = Contents()
    var isUncertain = false
    /// Whether the key may also be gone, because the file was damaged or a flush was not answered.
    var mayBeGone = false
    /// Until then a request of an ended connection may still be carried out.
    var settledAt: Moment = 0
    /// The last batch that changes it.
    var batch: UInt32 = 0
    /// The server's unique number of `known`; 0: not known.
    var unique: UInt64 = 0

    /// The answer to a change will never come: the old and the new contents are both possible.
    mutating func doubt(_ instead: Contents, until: Moment) {
        other = instead
        isUncertain = true
        settledAt = max(settledAt, until)
        unique = 0
    }

    mutating func know(_ contents: Contents) {
        known = contents
        isUncertain = false
        mayBeGone = false
        unique = 0
    }

    /// The server began empty.
    mutating func forget() { know(.nothing) }

    mutating func doubtPresence() {
        if !isUncertain { other = known }
        isUncertain = true
        mayBeGone = true
        unique = 0
    }
}

/// The judgement of one answer about a key.
enum Verdict: String {
    case right
    case late = "served after its expiry"
    case resurrected = "present, but it was deleted, flushed or refused"
    case older = "an older version"
    case different = "not what was stored"
    /// The acknowledged value is missing.
    case lost
}

extension KeyState {
    /// The owner got a value of `version`, `length` bytes long.
    @inline(__always)
    mutating func found(version: UInt32, length: UInt32, askedAt: Moment, answeredAt: Moment) -> Verdict {
        if _fastPath(!isUncertain) {
            if _fastPath(known.version == version && known.length == length) {
                return askedAt > known.deadAfter ? .late : .right
            }
            if known.isNothing { return .resurrected }
            return version < known.version ? .older : .different
        }
        return foundUncertain(version, length, askedAt, answeredAt)
    }

    private mutating func foundUncertain(
        _ version: UInt32, _ length: UInt32, _ askedAt: Moment, _ answeredAt: Moment
    ) -> Verdict {
        let isKnown = known.version == version && known.length == length
        guard isKnown || other.version == version && other.length == length else {
            return version < max(known.version, 1) ? .older : .different
        }
        var seen = isKnown ? known : other
        // The uncertain change was of the expiry only: either expiry is possible.
        if isKnown, other.version == version, other.length == length {
            seen.liveUntil = min(known.liveUntil, other.liveUntil)
            seen.deadAfter = max(known.deadAfter, other.deadAfter)
        }
        if askedAt > seen.deadAfter { return .late }
        if askedAt >= settledAt { know(seen) }
        return .right
    }

    /// The owner got a miss for the key.
    @inline(__always)
    mutating func missed(mayEvict: Bool, askedAt: Moment, answeredAt: Moment) -> Verdict {
        if _fastPath(!isUncertain) {
            return known.isNothing || mayEvict || answeredAt >= known.liveUntil ? .right : .lost
        }
        let isPossible =
            mayEvict || mayBeGone || known.isNothing || other.isNothing || answeredAt >= known.liveUntil
            || answeredAt >= other.liveUntil
        guard isPossible else { return .lost }
        // The item was evicted, has expired or never existed. In a cache that does not evict, this settles the state.
        if askedAt >= settledAt, !mayEvict { know(.nothing) }
        return .right
    }
}
