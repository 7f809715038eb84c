package import LarderStore

/// What a test sees of an item.
package struct FoundItem: Equatable {
    package var value: [UInt8]
    package var clientFlags: UInt32
    package var expiry: Int64
    package var cas: UInt64

    package init(value: [UInt8], clientFlags: UInt32, expiry: Int64, cas: UInt64) {
        self.value = value
        self.clientFlags = clientFlags
        self.expiry = expiry
        self.cas = cas
    }
}

/// A session that takes and gives arrays. Each operation belongs to the turn around it.
package final class StoreDriver {
    package let session: Session

    package let whole: Store

    /// Whether large values are written to their place in the store, where it has one for them, and stored then.
    package var receivesInPlace = false
    /// How many found a place.
    package private(set) var incomingCount = 0
    /// A place that a value stopped arriving in.
    private var idleIncoming: IncomingValue?

    package init(_ store: Store) throws {
        whole = store
        session = try store.makeSession()
    }

    package var statistics: StoreStatistics { whole.statistics }

    package func turn<Result>(_ now: Int64, _ body: (StoreDriver) throws -> Result) rethrows -> Result {
        session.repair()
        session.begin(now: now)
        defer { session.end() }
        return try body(self)
    }

    package func withHashed<Result>(_ key: [UInt8], _ body: (HashedKey) -> Result) -> Result {
        key.withUnsafeBytes { bytes in
            // SAFETY: tests' keys are not empty, so there is an address.
            body(session.hashed(bytes.baseAddress!, length: bytes.count))
        }
    }

    package func store(
        _ mode: WriteMode, _ key: [UInt8], _ value: [UInt8], flags: UInt32 = 0, expiry: Int64 = Int64.max,
        cas: UInt64 = 0, now: Int64
    ) -> StoreResult {
        if receivesInPlace, let incoming = receive(key.count, value, flags: flags, expiry: expiry, now: now) {
            incomingCount += 1
            return store(
                incoming, mode, key, valueLength: value.count, flags: flags, expiry: expiry, cas: cas, now: now)
        }
        return withHashed(key) { key in
            value.withUnsafeBytes { bytes in
                withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { nothing in
                    session.store(
                        mode, key,
                        value: UnsafeRawPointer(bytes.baseAddress ?? UnsafeRawPointer(nothing.baseAddress!)),
                        valueLength: bytes.count, clientFlags: flags, expiry: expiry, cas: cas, now: now)
                }
            }
        }
    }

    /// Writes a value to a place in the store, as it would arrive there, and what follows it; nil when there is none.
    package func receive(
        _ keyLength: Int, _ value: [UInt8], flags: UInt32 = 0, expiry: Int64 = Int64.max, now: Int64
    ) -> IncomingValue? {
        let tail = Array("\r\n".utf8)
        guard
            let incoming = session.incomingValue(
                keyLength: keyLength, valueLength: value.count, tailLength: tail.count, clientFlags: flags,
                expiry: expiry, now: now)
        else { return nil }
        // SAFETY: the incoming value has room for as many bytes as were asked for.
        (value + tail).withUnsafeBytes { bytes in
            UnsafeMutableRawBufferPointer(start: incoming.value, count: bytes.count).copyMemory(from: bytes)
        }
        return incoming
    }

    /// Stores a value that was received in place.
    package func store(
        _ incoming: IncomingValue, _ mode: WriteMode, _ key: [UInt8], valueLength: Int, flags: UInt32 = 0,
        expiry: Int64 = Int64.max, cas: UInt64 = 0, acceptsOlder: Bool = false, now: Int64
    ) -> StoreResult {
        var options = WriteOptions()
        if cas != 0 { options.cas = cas }
        options.acceptsOlder = acceptsOlder
        options.setsExpiry = mode != .append && mode != .prepend
        session.commit(incoming)
        defer { session.cancel(incoming) }
        return withHashed(key) { key in
            session.store(
                mode, key, value: incoming.value, valueLength: valueLength, clientFlags: flags, expiry: expiry, options,
                now: now)
        }
    }

    /// Has a value begin to arrive and stop; or, when one has, lets it end.
    package func landForNothing(_ value: [UInt8], now: Int64) {
        if let idleIncoming {
            session.giveBack(idleIncoming)
            self.idleIncoming = nil
        } else {
            idleIncoming = receive(10, value, now: now)
        }
    }

    /// As above, with conditions and marks.
    package func store(
        _ mode: WriteMode, _ key: [UInt8], _ value: [UInt8], flags: UInt32 = 0, expiry: Int64 = Int64.max,
        _ options: WriteOptions, now: Int64
    ) -> StoreResult {
        withHashed(key) { key in
            value.withUnsafeBytes { bytes in
                session.store(
                    mode, key, value: bytes.baseAddress ?? key.bytes, valueLength: bytes.count,
                    clientFlags: flags, expiry: expiry, options, now: now)
            }
        }
    }

    package func vivify(_ key: [UInt8], expiry: Int64, now: Int64) -> StoreResult {
        withHashed(key) {
            session.vivify($0, expiry: expiry, newCas: nil, keyIsBinary: false, isFetched: false, now: now)
        }
    }

    /// `.gone` also when the item is not there.
    package func claimWin(_ key: [UInt8], now: Int64) -> WinClaim {
        withHashed(key) { key in
            session.find(key, now: now).map { session.claimWin($0, key) } ?? .gone
        }
    }

    package func revise(_ key: [UInt8], _ marks: ItemMarks, now: Int64) -> StoreOutcome {
        withHashed(key) { session.revise($0, marks, now: now) }
    }

    package func version(_ key: [UInt8], now: Int64) -> UInt64? {
        withHashed(key) { key in session.find(key, now: now).map { session.version(of: $0) } }
    }

    package func set(_ key: [UInt8], _ value: [UInt8], expiry: Int64 = Int64.max, now: Int64) -> StoreOutcome {
        store(.set, key, value, expiry: expiry, now: now).outcome
    }

    /// - Parameter marks: whether this is a use, as by a client.
    package func find(_ key: [UInt8], now: Int64, marks: Bool = false) -> FoundItem? {
        withHashed(key) { key in
            guard let item = session.find(key, now: now) else { return nil }
            if marks { session.markUsed(item, now: now) }
            return FoundItem(
                value: [UInt8](UnsafeRawBufferPointer(start: item.value, count: item.valueLength)),
                clientFlags: item.clientFlags, expiry: session.expiry(of: item), cas: session.cas(of: item))
        }
    }

    package func delete(_ key: [UInt8], cas: UInt64 = 0, now: Int64) -> StoreOutcome {
        withHashed(key) { session.delete($0, cas: cas, now: now) }
    }

    package func touch(_ key: [UInt8], expiry: Int64, now: Int64) -> StoreOutcome {
        withHashed(key) { session.touch($0, expiry: expiry, now: now) }
    }

    package func pin(_ key: [UInt8], now: Int64) -> PinnedValue? {
        withHashed(key) { key in
            session.find(key, now: now).flatMap { item in
                let bytes = UnsafeRawBufferPointer(start: item.value, count: item.valueLength)
                return session.pin(item).map { PinnedValue(pin: $0, bytes: bytes, copy: [UInt8](bytes)) }
            }
        }
    }
}

/// A value that a reply is still being sent from.
package struct PinnedValue {
    package var pin: Pin
    /// SAFETY: valid until the pin is given back.
    package var bytes: UnsafeRawBufferPointer
    package var copy: [UInt8]

    package var isIntact: Bool { bytes.elementsEqual(copy) }
}

extension [UInt8] {
    package init(key: String) { self = Array(key.utf8) }

    /// A key for a number. One in ten is longer than the first eight bytes of an item can tell, and `keys[n]` begins as
    /// the key of another number does.
    package init(keyOfAnyLength number: Int) {
        let text = Array("key-\(number)".utf8)
        self = number % 10 == 7 ? [UInt8](repeating: 0x78, count: 250 + number % 800) + text : text
    }

    /// Bytes that no other `seed` has, so that a wrong value shows.
    package static func value(_ count: Int, seed: UInt64) -> [UInt8] {
        var random = SeededRandom(seed: seed)
        return Self(unsafeUninitializedCapacity: count) { buffer, made in
            while made < count {
                let word = random.next()
                for byte in 0..<Swift.min(8, count - made) {
                    buffer[made + byte] = UInt8(truncatingIfNeeded: word >> UInt64(8 * byte))
                }
                made += Swift.min(8, count - made)
            }
        }
    }
}
