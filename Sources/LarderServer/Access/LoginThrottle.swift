import Synchronization

/// Limits how fast passwords can be guessed. After a failed attempt the next attempt from the same address waits a
/// tenth of a second, over all connections of that address. A successful attempt delays no other attempt, so a pool of
/// connections opens at once.
///
/// Attempts that wait at one address have no order. Each tenth of a second one of them has its turn: the first that
/// asks. So an attacker can delay the right password, but cannot keep it out.
final class LoginThrottle: Sendable {
    /// The time between a failed attempt and the next attempt from the same address.
    static let intervalMilliseconds: Int64 = 100
    /// The longest time that the answer to one attempt is held back.
    static let delayMillisecondsMax: Int64 = 1_000

    private struct Place {
        var origin: UInt64 = 0
        /// When the next attempt is allowed. After that time the place is free.
        var nextMilliseconds = Int64.min
    }

    /// The number of places that an address can use.
    private static let ways = 8
    private static let setsCount = 64
    private let places = Mutex([Place](repeating: Place(), count: ways * setsCount))

    /// How long an attempt must wait. 0: the attempt has its turn now, and if it fails, the next ones wait.
    ///
    /// - Parameters:
    ///   - origin: the client's address as one number.
    ///   - succeeds: the result of the attempt. The client is not told it before the attempt's turn.
    ///   - now: milliseconds of any clock that does not go back.
    func wait(_ origin: UInt64, succeeds: Bool, now: Int64) -> Int64 {
        places.withLock { places in
            let first = Int(origin % UInt64(Self.setsCount)) * Self.ways
            let set = first..<first + Self.ways
            if let place = set.first(where: { places[$0].origin == origin && places[$0].nextMilliseconds > now }) {
                return places[place].nextMilliseconds - now
            }
            guard !succeeds else { return 0 }
            // A free place, or else the place that becomes free first.
            let place = set.min { places[$0].nextMilliseconds < places[$1].nextMilliseconds } ?? first
            places[place] = Place(origin: origin, nextMilliseconds: now + Self.intervalMilliseconds)
            return 0
        }
    }

    /// How long the answer to a failed attempt is held back after `failures` earlier failures on the connection.
    static func delayMilliseconds(failures: Int) -> Int64 {
        failures >= 4 ? delayMillisecondsMax : intervalMilliseconds << Int64(max(0, failures))
    }
}
