import Synchronization

/// How fast passwords can be guessed: at one address an attempt that fails is followed by another one a tenth of a second
/// later at the earliest, over however many connections. Attempts that are right take no time of others, so a pool of
/// connections opens as fast as it can.
///
/// Of many who wait at one address none has a place in a queue: with each tenth of a second one of them has its turn,
/// whichever asks first. So an attacker can make the right password wait, but not keep it out.
final class LoginThrottle: Sendable {
    /// Between two attempts of one address, the first of which failed.
    static let intervalMilliseconds: Int64 = 100
    /// The longest time that the answer to one attempt is held back.
    static let delayMillisecondsMax: Int64 = 1_000

    private struct Place {
        var origin: UInt64 = 0
        /// When the next attempt may be made; a place whose time has come is free.
        var nextMilliseconds = Int64.min
    }

    /// Places that an origin can have.
    private static let ways = 8
    private static let setsCount = 64
    private let places = Mutex([Place](repeating: Place(), count: ways * setsCount))

    /// How long an attempt has to wait; 0: it is made now, and if it fails, the next ones wait.
    ///
    /// - Parameters:
    ///   - origin: where the client is, as one number.
    ///   - succeeds: what nobody is told before it is the attempt's turn.
    ///   - now: milliseconds of any clock that does not go back.
    func wait(_ origin: UInt64, succeeds: Bool, now: Int64) -> Int64 {
        places.withLock { places in
            let first = Int(origin % UInt64(Self.setsCount)) * Self.ways
            let set = first..<first + Self.ways
            if let place = set.first(where: { places[$0].origin == origin && places[$0].nextMilliseconds > now }) {
                return places[place].nextMilliseconds - now
            }
            guard !succeeds else { return 0 }
            // One that is free, or the one that is free soonest.
            let place = set.min { places[$0].nextMilliseconds < places[$1].nextMilliseconds } ?? first
            places[place] = Place(origin: origin, nextMilliseconds: now + Self.intervalMilliseconds)
            return 0
        }
    }

    /// How long the answer to a failed attempt is held back, for a client that has failed so often before.
    static func delayMilliseconds(failures: Int) -> Int64 {
        failures >= 4 ? delayMillisecondsMax : intervalMilliseconds << Int64(max(0, failures))
    }
}
