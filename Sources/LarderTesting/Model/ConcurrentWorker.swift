import LarderStore

/// One thread's part.
struct ConcurrentWorker {
    static let start: Int64 = 1_700_000_000_000
    static let end: Int64 = start + (1 << 40)

    let driver: StoreDriver
    let load: ConcurrentRun.Load
    let slabBytes: Int
    var random: SeededRandom
    private var now = Self.start

    init(driver: StoreDriver, load: ConcurrentRun.Load, slabBytes: Int, random: SeededRandom) {
        self.driver = driver
        self.load = load
        self.slabBytes = slabBytes
        self.random = random
    }

    mutating func run(rounds: Int) -> String? {
        for round in 0..<rounds {
            now += Int64(random.number(0...2))
            let failure: String? = driver.turn(now) { driver in
                for _ in 0..<random.number(1...4) {
                    if let failure = operation(driver) { return failure }
                }
                return nil
            }
            if let failure { return "round \(round): \(failure)" }
        }
        return nil
    }

    private mutating func operation(_ driver: StoreDriver) -> String? {
        let number = random.number(0...(load == .manyKeys ? 3000 : 40))
        let key = Array("key-\(number)".utf8)
        switch random.number(0...99) {
        case 0...24: _ = driver.store(.set, key, value(number), flags: flags(), expiry: expiry(), now: now)
        case 25...29: _ = driver.store(.add, key, value(number), expiry: expiry(), now: now)
        case 30...34: _ = driver.store(.append, key, record(number, 16), now: now)
        case 35...36: _ = driver.store(.prepend, key, record(number, 24), now: now)
        case 37...44:
            guard let found = driver.find(key, now: now) else { return nil }
            let result = driver.store(
                .compareAndSwap, key, value(number), expiry: expiry(), cas: found.cas, now: now)
            if result.outcome == .stored, result.cas <= found.cas { return "cas went back" }
        case 45...52: _ = driver.delete(key, now: now)
        case 53...64: _ = driver.touch(key, expiry: expiry(), now: now)
        case 65 where random.once(in: 50): driver.session.flush()
        case 66...68:
            guard let pinned = driver.pin(key, now: now) else { return nil }
            defer { driver.session.unpin(pinned.pin) }
            _ = driver.store(.set, key, value(number), now: now)
            if !pinned.isIntact || !Self.isWhole(pinned.copy, number) {
                return "a pinned value of key \(number) was torn"
            }
        default:
            guard let found = driver.find(key, now: now, marks: true) else { return nil }
            if !Self.isWhole(found.value, number) {
                return "a torn value of key \(number): \(found.value.prefix(64))"
            }
            if found.expiry <= now, staysExpired(key, driver) { return "an expired value of key \(number)" }
        }
        return nil
    }

    /// Another thread, whose clock is behind, may shorten an item's life between the look for it and that at its expiry.
    /// The next look does not find it then.
    private func staysExpired(_ key: [UInt8], _ driver: StoreDriver) -> Bool {
        (0..<8).allSatisfy { _ in (driver.find(key, now: now)?.expiry ?? .max) <= now }
    }

    private mutating func flags() -> UInt32 { random.once(in: 2) ? 0 : UInt32(random.number(1...1000)) }

    private mutating func expiry() -> Int64 {
        switch random.number(0...3) {
        case 0: Int64.max
        case 1: now + Int64(random.number(1...500))
        default: now + Int64(random.number(1...100_000))
        }
    }

    /// One or more records; appending and prepending adds some.
    private mutating func value(_ number: Int) -> [UInt8] {
        guard load == .allSizes else { return record(number, random.number(16...120)) }
        let length =
            random.once(in: 10) ? random.number(slabBytes...3 * slabBytes) : random.number(16...slabBytes / 2)
        return record(number, length)
    }

    /// A record: its length, its key, then bytes that a seed decides, which comes before them.
    private mutating func record(_ number: Int, _ length: Int) -> [UInt8] {
        let seed = UInt32(truncatingIfNeeded: random.next())
        var bytes: [UInt8] = []
        for word in [UInt32(length), UInt32(number), seed] {
            for byte in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: word >> UInt32(8 * byte))) }
        }
        return bytes + [UInt8].value(length - 12, seed: UInt64(seed))
    }

    private static func isWhole(_ value: [UInt8], _ number: Int) -> Bool {
        var rest = value[...]
        while rest.count >= 12 {
            func word(_ place: Int) -> UInt32 {
                (0..<4).reduce(0) { $0 | UInt32(rest[rest.startIndex + 4 * place + $1]) << UInt32(8 * $1) }
            }
            let length = Int(word(0))
            guard length >= 12, length <= rest.count, word(1) == UInt32(number),
                rest.dropFirst(12).prefix(length - 12).elementsEqual(
                    [UInt8].value(length - 12, seed: UInt64(word(2))))
            else { return false }
            rest = rest.dropFirst(length)
        }
        return rest.isEmpty && !value.isEmpty
    }
}
