import Glibc
import LarderStore

/// Reads and judges. One line says what was found; 1 when anything was wrong.
func runReader(_ options: Options) throws -> Int32 {
    let keyCount = try options.number("keys", 20_000)
    let reads = try options.number("reads", 1_000_000)
    let seed = try options.number("seed", 1)
    let acknowledged = try Acknowledged(path: options.text("acknowledged"), keys: keyCount)
    var reader = try StoreReader(path: options.text("store"), access: access(options))
    let keys = (0..<keyCount).map { Array("key-\($0)".utf8) }
    var random = SeededRandom(seed: UInt64(seed))
    var tally = Tally()
    let begin = nanoseconds()
    while tally.found + tally.missing < reads {
        let key = random.key(of: keyCount)
        // Before the read: whatever was acknowledged by then must be seen.
        let lowest = acknowledged.lowest(key)
        let name = keys[key]
        let outcome = reader.withItem(name.span.bytes) { value, attributes in
            value.withUnsafeBytes { NumberedValue($0, key: key, flags: attributes.clientFlags) }
        }
        switch outcome {
        case .missing: tally.missing += 1
        case .unavailable: tally.unavailable += 1
        case .found(nil):
            tally.found += 1
            tally.wrong += 1
        case .found(let value?):
            tally.found += 1
            if value.number < lowest { tally.older += 1 }
        }
    }
    tally.print(seed: seed, nanoseconds: nanoseconds() - begin)
    return tally.wrong + tally.older == 0 ? 0 : 1
}

private struct Tally {
    var found = 0
    var missing = 0
    /// Not readable in place at that moment: the caller would have asked the server.
    var unavailable = 0
    /// Not a value of that key, or not a whole one.
    var wrong = 0
    /// Older than what was acknowledged before the read.
    var older = 0

    func print(seed: Int, nanoseconds: UInt64) {
        Swift.print(
            """
            {"reads": \(found + missing), "found": \(found), "missing": \(missing), "unavailable": \(unavailable), \
            "wrong": \(wrong), "older": \(older), "seed": \(seed), "seconds": \(Double(nanoseconds) / 1e9)}
            """)
    }
}

func access(_ options: Options) throws(Complaint) -> StoreReader.Access {
    try options.number("pread", 0) == 0 ? .mapped : .systemCalls
}

/// Times reads of the keys that `prepare` of the tests stored, without judging them.
func runTimer(_ options: Options) throws -> Int32 {
    let keyCount = try options.number("keys", 20_000)
    let reads = try options.number("reads", 1_000_000)
    var reader = try StoreReader(path: options.text("store"), access: access(options))
    let keys = (0..<keyCount).map { Array("key-\($0)".utf8) }
    var random = SeededRandom(seed: 1)
    var found = 0
    var bytes = 0
    let begin = nanoseconds()
    for _ in 0..<reads {
        let key = keys[Int(random.next() >> 1) % keyCount]
        let outcome = reader.withValue(key.span.bytes) { $0.byteCount }
        if case .found(let count) = outcome {
            found += 1
            bytes += count
        }
    }
    let each = Double(nanoseconds() - begin) / Double(max(1, reads))
    print("{\"reads\": \(reads), \"found\": \(found), \"bytes\": \(bytes), \"nanoseconds_each\": \(each)}")
    return found > 0 || reads == 0 ? 0 : 1
}
