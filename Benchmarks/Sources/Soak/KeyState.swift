/// Milliseconds since the campaign began.
typealias Moment = UInt32

let never = Moment.max

/// What a key holds as far as its owner knows.
struct Contents: Equatable {
    /// 0: nothing.
    var version: UInt32 = 0
    var length: UInt32 = 0
    /// A miss before is a loss, where nothing is evicted.
    var liveUntil: Moment = never
    /// A hit that was asked for later was served after its expiry.
    var deadAfter: Moment = never

    static let nothing = Contents()
    var isNothing: Bool { version == 0 }
}

/// A key, as the one client knows it that writes it.
struct KeyState {
    /// What was acknowledged last.
    var known = Contents()
    /// What it may hold instead, since a connection ended before the answer came.
    var other = Contents()
    var isUncertain = false
    /// Whether it may be gone besides: the file was damaged, or a flush was not answered.
    var mayBeGone = false
    /// Before, a request of a connection that has ended may still be carried out.
    var settledAt: Moment = 0
    /// The last batch that changes it.
    var batch: UInt32 = 0
    /// The server's unique number of `known`; 0: not known.
    var unique: UInt64 = 0

    /// A change whose answer will never come: both are possible.
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

    /// The server has lost all that it had, and began empty.
    mutating func forget() { know(.nothing) }

    mutating func doubtPresence() {
        if !isUncertain { other = known }
        isUncertain = true
        mayBeGone = true
        unique = 0
    }
}

/// How a sight of a key is judged.
enum Verdict: String {
    case right
    case late = "served after its expiry"
    case resurrected = "there, though it was deleted, flushed or refused"
    case older = "an older version"
    case different = "not what was stored"
    /// What was acknowledged is not there.
    case lost
}

extension KeyState {
    /// The owner has seen the key with a value of `version`, `length` bytes long.
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
        // A change of the expiry only: either may hold.
        if isKnown, other.version == version, other.length == length {
            seen.liveUntil = min(known.liveUntil, other.liveUntil)
            seen.deadAfter = max(known.deadAfter, other.deadAfter)
        }
        if askedAt > seen.deadAfter { return .late }
        if askedAt >= settledAt { know(seen) }
        return .right
    }

    /// The owner was told that the key is not there.
    @inline(__always)
    mutating func missed(mayEvict: Bool, askedAt: Moment, answeredAt: Moment) -> Verdict {
        if _fastPath(!isUncertain) {
            return known.isNothing || mayEvict || answeredAt >= known.liveUntil ? .right : .lost
        }
        let isPossible =
            mayEvict || mayBeGone || known.isNothing || other.isNothing || answeredAt >= known.liveUntil
            || answeredAt >= other.liveUntil
        guard isPossible else { return .lost }
        // Evicted, or expired, or never there: for whom nothing is evicted, it is known now.
        if askedAt >= settledAt, !mayEvict { know(.nothing) }
        return .right
    }
}
