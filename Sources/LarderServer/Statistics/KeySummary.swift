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
    /// The first place of each chain, by the last bits of the hash, and the next place of the same chain.
    private var heads = [UInt16](repeating: Self.none, count: 1024)
    private var links: [UInt16] = []
    /// The smallest count when places were last looked through, and the place to go on from. Counts only grow in between,
    /// so the next place with this count has the smallest one still.
    private var least = 0.0
    private var nextPlace = 0
    private var fadedAtMilliseconds: Int64

    private static let none = UInt16.max

    init(now: Int64) { fadedAtMilliseconds = now }

    /// Counts requests for a key.
    mutating func add(_ key: UnsafeRawBufferPointer, weight: Double) {
        let key = UnsafeRawBufferPointer(rebasing: key.prefix(Self.keyBytesMax))
        let hash = Self.hash(key)
        let chain = Int(hash % UInt64(heads.count))
        var candidate = heads[chain]
        while candidate != Self.none {
            let place = Int(candidate)
            if hashes[place] == hash, self.key(at: place).elementsEqual(key) {
                counts[place] += weight
                return
            }
            candidate = links[place]
        }
        let place = placeForNewKey()
        hashes[place] = hash
        links[place] = heads[chain]
        heads[chain] = UInt16(place)
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
        least *= factor
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
        if counts.count == Self.capacity { return takePlaceOfLeast() }
        hashes.append(0)
        links.append(Self.none)
        counts.append(0)
        errors.append(0)
        lengths.append(0)
        bytes += repeatElement(0, count: Self.keyBytesMax)
        return counts.count - 1
    }

    /// Takes the key with the smallest count out of its chain. Returns its place.
    private mutating func takePlaceOfLeast() -> Int {
        while nextPlace < counts.count, counts[nextPlace] > least { nextPlace += 1 }
        if nextPlace == counts.count {
            least = counts.min() ?? 0
            nextPlace = counts.firstIndex(of: least) ?? 0
        }
        let place = nextPlace
        nextPlace += 1
        let chain = Int(hashes[place] % UInt64(heads.count))
        if heads[chain] == UInt16(place) {
            heads[chain] = links[place]
        } else {
            var before = Int(heads[chain])
            while links[before] != UInt16(place) { before = Int(links[before]) }
            links[before] = links[place]
        }
        return place
    }

    /// FNV-1a. Keys with the same hash are told apart by their bytes.
    private static func hash(_ key: UnsafeRawBufferPointer) -> UInt64 {
        key.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
