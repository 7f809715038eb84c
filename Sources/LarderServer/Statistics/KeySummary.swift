import Glibc

/// The most requested keys, in bounded memory: a space-saving summary (Metwally, Agrawal, El Abbadi, 2005) whose counts
/// fade with time.
///
/// When all places are taken, a new key takes the place of the key with the smallest count. It takes over that count as
/// its possible error.
struct KeySummary {
    /// Keys in a summary.
    static let capacity = 512
    /// After this time a request counts half.
    static let halfLifeSeconds = 10.0
    private static let keyBytesMax = 250

    private var hashes: [UInt64] = []
    private var counts: [Double] = []
    /// How much of each count may be other keys' requests.
    private var errors: [Double] = []
    private var lengths: [Int] = []
    /// `keyBytesMax` for each key.
    private var bytes: [UInt8] = []
    private var fadedAtMilliseconds: Int64

    init(now: Int64) { fadedAtMilliseconds = now }

    /// Counts requests for a key.
    mutating func add(_ key: UnsafeRawBufferPointer, weight: Double) {
        let key = UnsafeRawBufferPointer(rebasing: key.prefix(Self.keyBytesMax))
        let hash = Self.hash(key)
        for place in hashes.indices where hashes[place] == hash && self.key(at: place).elementsEqual(key) {
            counts[place] += weight
            return
        }
        let place = placeForNewKey()
        hashes[place] = hash
        errors[place] = counts[place]
        counts[place] += weight
        lengths[place] = key.count
        let start = place * Self.keyBytesMax
        bytes.replaceSubrange(start..<start + key.count, with: key)
    }

    /// Has older requests count less.
    mutating func fade(now: Int64) {
        guard now > fadedAtMilliseconds else { return }
        let factor = Self.remainder(milliseconds: now &- fadedAtMilliseconds)
        fadedAtMilliseconds = now
        for place in counts.indices {
            counts[place] *= factor
            errors[place] *= factor
        }
    }

    /// Each key with the requests that are certainly its own.
    var entries: [(key: [UInt8], count: Double)] {
        counts.indices.map { (Array(key(at: $0)), counts[$0] - errors[$0]) }
    }

    /// How much is left of a request after so long.
    private static func remainder(milliseconds: Int64) -> Double {
        exp2(-Double(max(0, milliseconds)) / 1000 / halfLifeSeconds)
    }

    /// How many seconds of requests a summary holds that was begun so long ago.
    static func seconds(sinceBegin milliseconds: Int64) -> Double {
        halfLifeSeconds / 0.693147 * (1 - remainder(milliseconds: milliseconds))
    }

    private func key(at place: Int) -> ArraySlice<UInt8> {
        let start = place * Self.keyBytesMax
        return bytes[start..<start + lengths[place]]
    }

    private mutating func placeForNewKey() -> Int {
        if counts.count == Self.capacity { return counts.indices.min { counts[$0] < counts[$1] } ?? 0 }
        hashes.append(0)
        counts.append(0)
        errors.append(0)
        lengths.append(0)
        bytes += repeatElement(0, count: Self.keyBytesMax)
        return counts.count - 1
    }

    /// FNV-1a. Keys with the same hash are told apart by their bytes.
    private static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 {
        key.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
