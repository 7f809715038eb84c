import LarderStore

/// Values of one size for a while, then of another: how much of what was stored last is there.
struct SizeShift {
    enum Reads: String, CaseIterable, Sendable {
        /// Looking whether an item is there does not count as a use.
        case none
        /// It does.
        case checks
        /// And a tenth of the items, the same ones for a while, are asked for all the time.
        case hot
    }

    struct Phase: Sendable {
        let from: Int
        let to: Int
        /// Of the newest 30 MB, the share that was there when it was least.
        var leastPresent = 1.0
        var refusals = 0
    }

    /// Items and all: a key of 20 bytes, and what an item costs beside.
    private static let newestBytes = 30 << 20
    private static let itemOverheadBytes = 48
    private static let bytesBetweenChecks = 5 << 20
    private static let bytesInPhase = 128 << 20

    /// Every shift between two of the sizes, one after the other.
    static func run(_ configuration: StoreConfiguration, reads: Reads) throws -> [Phase] {
        let sizes = [100, 10_000, 900_000, 100, 900_000, 10_000, 100]
        let store = try Store(configuration)
        let session = try store.makeSession()
        var driver = ShiftDriver(reads: reads)
        defer { driver.deallocate() }
        driver.store(sizes[0], bytes: bytesInPhase, session)
        return zip(sizes, sizes.dropFirst()).map { from, to in
            var phase = Phase(from: from, to: to)
            let first = driver.stored
            for _ in 0..<bytesInPhase / bytesBetweenChecks {
                phase.refusals += driver.store(to, bytes: bytesBetweenChecks, session)
                let count = min(driver.stored - first, newestBytes / (to + itemOverheadBytes))
                phase.leastPresent = min(phase.leastPresent, driver.presence(newest: count, session))
            }
            return phase
        }
    }
}

private struct ShiftDriver {
    let reads: SizeShift.Reads
    /// Items stored so far; their numbers are their keys.
    private(set) var stored = 0
    private let value: UnsafeMutablePointer<UInt8>
    private let key: UnsafeMutablePointer<UInt64>
    private let now: Int64 = 1_700_000_000_000

    init(reads: SizeShift.Reads) {
        self.reads = reads
        value = .allocate(capacity: 1 << 20)
        value.initialize(repeating: 0x61, count: 1 << 20)
        key = .allocate(capacity: 3)
        key.initialize(repeating: 0x3130_3130_3130_3130, count: 3)
    }

    func deallocate() {
        value.deallocate()
        key.deallocate()
    }

    private func hashed(_ number: Int, _ session: borrowing Session) -> HashedKey {
        key[0] = UInt64(number) | 0x4040_4040_0000_0000
        return session.hashed(key, length: 20)
    }

    /// Stores items of one size; returns how many were refused.
    @discardableResult
    mutating func store(_ valueBytes: Int, bytes: Int, _ session: borrowing Session) -> Int {
        var refused = 0
        let first = stored
        for _ in 0..<max(1, bytes / valueBytes) {
            session.begin(now: now)
            let result = session.store(
                .set, hashed(stored, session), value: value, valueLength: valueBytes, clientFlags: 0,
                expiry: Int64.max, now: now)
            if result.outcome != .stored { refused += 1 }
            stored += 1
            if reads == .hot {
                for use in 0..<2 {
                    let hot = first + (stored &* 2 + use) % max(1, (stored - first + 9) / 10)
                    if let item = session.find(hashed(hot, session), now: now) {
                        session.markUsed(item, now: now)
                    }
                }
            }
            session.end()
        }
        return refused
    }

    func presence(newest count: Int, _ session: borrowing Session) -> Double {
        var found = 0
        for number in stored - count..<stored {
            session.begin(now: now)
            if let item = session.find(hashed(number, session), now: now) {
                found += 1
                if reads != .none { session.markUsed(item, now: now) }
            }
            session.end()
        }
        return Double(found) / Double(max(1, count))
    }
}
