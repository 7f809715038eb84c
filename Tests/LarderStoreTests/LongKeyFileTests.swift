import CLarderArena
import LarderTesting
import Testing

@testable import LarderStore

/// Long keys in files: the version of the format, kills, damage, and readers in place.
@Suite struct LongKeyFileTests {
    private static let now: Int64 = 1_700_000_000_000

    private static func configuration(_ path: String, slabs: Int = 96, slabBytes: Int = 4096) -> StoreConfiguration {
        var configuration = StoreConfiguration(
            memoryBytes: slabs * slabBytes, slabBytes: slabBytes, hashSeed: 5, filePath: path)
        configuration.openedAtMilliseconds = now
        return configuration
    }

    /// The versions of both superblocks; nil for one whose check does not match.
    private static func versions(_ bytes: [UInt8]) -> [UInt32?] {
        [0, bytes.count - FileSuperblock.trailerBytes].map { offset in
            var superblock = bytes.withUnsafeBytes {
                $0.loadUnaligned(fromByteOffset: offset, as: larder_superblock.self)
            }
            return larder_superblock_check(&superblock) == superblock.fixed_check ? superblock.version : nil
        }
    }

    private static func set(_ driver: StoreDriver, _ key: [UInt8], _ value: [UInt8], expiry: Int64 = Int64.max) {
        driver.turn(now) { #expect($0.store(.set, key, value, expiry: expiry, now: now).outcome == .stored) }
    }

    /// Until a long key comes, an older program can open the file.
    @Test func theFirstLongKeyRaisesTheVersion() throws {
        let file = try StoreTestFile()
        do {
            let driver = try StoreDriver(Store(Self.configuration(file.path)))
            for length in [1, 250, 255] { Self.set(driver, LongKeyTests.key(length), [1]) }
            #expect(Self.versions(try file.bytes) == [2, 2])
        }
        do {
            let driver = try StoreDriver(Store(Self.configuration(file.path)))
            #expect(driver.turn(Self.now) { $0.find(LongKeyTests.key(255), now: Self.now)?.value } == [1])
            #expect(Self.versions(try file.bytes) == [2, 2])
            Self.set(driver, LongKeyTests.key(256), [2])
            #expect(Self.versions(try file.bytes) == [3, 3])
        }
        let driver = try StoreDriver(Store(Self.configuration(file.path)))
        #expect(Self.versions(try file.bytes) == [3, 3])
        #expect(driver.turn(Self.now) { $0.find(LongKeyTests.key(256), now: Self.now)?.value } == [2])
        #expect(driver.turn(Self.now) { $0.find(LongKeyTests.key(255), now: Self.now)?.value } == [1])
        #expect(file.names == ["store"])
    }

    /// Only the version of one superblock is left, or that of the other.
    @Test(arguments: [0, 1])
    func oneSuperblockIsEnough(damaged: Int) throws {
        let file = try StoreTestFile()
        do { Self.set(try StoreDriver(Store(Self.configuration(file.path))), LongKeyTests.key(300), [4]) }
        var bytes = try file.bytes
        bytes[(damaged == 0 ? 0 : bytes.count - FileSuperblock.trailerBytes) + 60] ^= 1
        try file.replace(with: bytes)
        let driver = try StoreDriver(Store(Self.configuration(file.path)))
        #expect(driver.turn(Self.now) { $0.find(LongKeyTests.key(300), now: Self.now)?.value } == [4])
        #expect(Self.versions(try file.bytes) == [3, 3])
    }

    @Test func anUnknownVersionIsSetAside() throws {
        let file = try StoreTestFile()
        do { Self.set(try StoreDriver(Store(Self.configuration(file.path))), [1], [4]) }
        var bytes = try file.bytes
        for offset in [0, bytes.count - FileSuperblock.trailerBytes] { bytes[offset + 8] = 4 }
        try file.replace(with: bytes)
        let store = try Store(Self.configuration(file.path))
        #expect(file.names == ["store", "store.bad-1"])
        #expect(
            store.recovery.notices == [
                "\(file.path) was renamed \(file.path).bad-1, and a new store was begun: its format has version 4, and "
                    + "this program's are 2 and 3"
            ])
    }

    /// A kill at any of the stores that the first long key needs leaves the short keys, and no long key in a file that
    /// an older program would open.
    @Test func killsWhileTheVersionIsRaised() throws {
        let file = try StoreTestFile()
        let store = try Store(Self.configuration(file.path))
        let driver = try StoreDriver(store)
        Self.set(driver, [1], [1])
        var images: [[UInt8]] = []
        store.state.process.pointee.crashHook = { images.append((try? file.bytes) ?? []) }
        Self.set(driver, LongKeyTests.key(2048), [2])
        store.state.process.pointee.crashHook = nil
        var seen: Set<[UInt32?]> = []
        for image in images {
            let versions = Self.versions(image)
            seen.insert(versions)
            #expect(versions.contains(2) || versions.contains(3), "no superblock is sound")
            let copy = try StoreTestFile()
            try copy.replace(with: image)
            let opened = try StoreDriver(Store(Self.configuration(copy.path)))
            let (short, long) = opened.turn(Self.now) { driver in
                (driver.find([1], now: Self.now)?.value, driver.find(LongKeyTests.key(2048), now: Self.now)?.value)
            }
            #expect(short == [1] && copy.names == ["store"])
            if versions != [3, 3] { #expect(long == nil) }
            #expect(long == nil || long == [2])
            #expect(opened.whole.checkInvariants() == [])
        }
        #expect(seen == [[2, 2], [2, nil], [2, 3], [nil, 3], [3, 3]])
    }

    @Test(arguments: [1024, 4096])
    func comeBackAfterAKillAndInAnotherSize(slabBytes: Int) throws {
        let file = try StoreTestFile()
        let expiry = Self.now + 100_000
        func value(_ length: Int) -> [UInt8] { .value(length % 700, seed: UInt64(length)) }
        let slabs = (1 << 20) / slabBytes
        do {
            let driver = try StoreDriver(Store(Self.configuration(file.path, slabs: slabs, slabBytes: slabBytes)))
            for length in LongKeyTests.lengths {
                Self.set(driver, LongKeyTests.key(length), value(length), expiry: length % 2 == 0 ? expiry : Int64.max)
                Self.set(driver, LongKeyTests.key(length, 1), [1])
                driver.turn(Self.now) { #expect($0.delete(LongKeyTests.key(length, 1), now: Self.now) == .stored) }
            }
            try file.keepImage()
        }
        try file.restoreImage()
        for slabs in [slabs, slabs, 2 * slabs] {
            let store = try Store(Self.configuration(file.path, slabs: slabs, slabBytes: slabBytes))
            let driver = try StoreDriver(store)
            #expect(store.recovery.items == LongKeyTests.lengths.count && store.checkInvariants() == [])
            driver.turn(Self.now) { driver in
                for length in LongKeyTests.lengths {
                    let found = driver.find(LongKeyTests.key(length), now: Self.now)
                    #expect(found?.value == value(length), "\(length)")
                    #expect(found?.expiry == (length % 2 == 0 ? expiry : Int64.max), "\(length)")
                    #expect(driver.find(LongKeyTests.key(length, 1), now: Self.now) == nil, "\(length)")
                }
            }
            #expect(Self.versions(try file.bytes) == [3, 3])
        }
        let inspection = try inspectClosedFile(file.path)
        #expect(inspection.problems == [] && inspection.formatVersion == 3)
        // Half of them have an expiry, which is over by the machine's clock.
        #expect(inspection.items.live + inspection.items.expired == LongKeyTests.lengths.count)
    }

    @Test(arguments: [StoreReader.Access.mapped, .systemCalls])
    func areReadInPlace(access: StoreReader.Access) throws {
        let file = try StoreTestFile()
        let driver = try StoreDriver(Store(Self.configuration(file.path, slabs: 256)))
        let reader = try ReaderDriver(file.path, access: access)
        // The reader opened the file before its version was raised.
        for length in LongKeyTests.lengths { Self.set(driver, LongKeyTests.key(length), [UInt8](key: "\(length)")) }
        for length in LongKeyTests.lengths {
            let item = driver.turn(Self.now) { $0.find(LongKeyTests.key(length), now: Self.now) }
            #expect(item != nil && reader.read(LongKeyTests.key(length), now: Self.now) == item.map { .found($0) })
            #expect(reader.read(LongKeyTests.key(length, 1), now: Self.now) == .missing)
        }
        #expect(reader.read(LongKeyTests.key(65_536), now: Self.now) == .missing)
        #expect(Set(reader.keys(now: Self.now) ?? []) == Set(LongKeyTests.lengths.map { LongKeyTests.key($0) }))
    }

    /// Each bit of the header of an item with a long key, and each bit of one with a short key, is wrong once.
    @Test func damagedHeaders() throws {
        let file = try StoreTestFile()
        let keys = [
            LongKeyTests.key(300), LongKeyTests.key(300, 1), LongKeyTests.key(40, 2), LongKeyTests.key(5000, 3),
        ]
        do {
            let driver = try StoreDriver(Store(Self.configuration(file.path)))
            for (number, key) in keys.enumerated() { Self.set(driver, key, .value(50, seed: UInt64(number))) }
        }
        let bytes = try file.bytes
        var found = 0
        for (damaged, key) in keys.enumerated() {
            let start = try #require(bytes.firstRange(of: key)?.lowerBound)
            // Form, state, lengths, checksum, and the time of access.
            let header = key.count > 255 ? 16 : 14
            for bit in 0..<8 * header {
                var changed = bytes
                changed[start - header + bit / 8] ^= 1 << UInt8(bit % 8)
                for reading in [true, false] {
                    let copy = try StoreTestFile()
                    try copy.replace(with: changed)
                    let answers: [[UInt8]?]
                    if reading {
                        let reader = try ReaderDriver(copy.path, access: bit % 2 == 0 ? .mapped : .systemCalls)
                        _ = reader.keys(now: Self.now)
                        answers = keys.map { key in
                            guard case .found(let item) = reader.read(key, now: Self.now) else { return nil }
                            return item.value
                        }
                    } else {
                        let driver = try StoreDriver(Store(Self.configuration(copy.path)))
                        #expect(driver.whole.checkInvariants() == [])
                        answers = driver.turn(Self.now) { driver in
                            keys.map { driver.find($0, now: Self.now)?.value }
                        }
                    }
                    for (number, answer) in answers.enumerated() {
                        let right = [UInt8].value(50, seed: UInt64(number))
                        #expect(answer == right || answer == nil && number == damaged, "bit \(bit) of item \(damaged)")
                        if answer != nil { found += 1 }
                    }
                }
            }
        }
        #expect(found > 1000)
    }

    /// A length that reaches beyond the slab, or beyond the arena.
    @Test func lengthsOutOfRange() throws {
        let file = try StoreTestFile()
        do {
            let driver = try StoreDriver(Store(Self.configuration(file.path)))
            Self.set(driver, LongKeyTests.key(300), [1])
        }
        let bytes = try file.bytes
        let start = try #require(bytes.firstRange(of: LongKeyTests.key(300))?.lowerBound)
        for length: UInt16 in [0, 1, 255, 256, 4096, 0xffff] {
            for shortLength: UInt8 in [0, 1, 44, 255] {
                var changed = bytes
                changed[start - 14] = shortLength
                changed[start - 4] = UInt8(truncatingIfNeeded: length)
                changed[start - 3] = UInt8(truncatingIfNeeded: length >> 8)
                let copy = try StoreTestFile()
                try copy.replace(with: changed)
                for access in [StoreReader.Access.mapped, .systemCalls] {
                    let reader = try ReaderDriver(copy.path, access: access)
                    _ = reader.keys(now: Self.now)
                    for key in [300, 1, 255, 256, 4096, 65_535] {
                        let outcome = reader.read(LongKeyTests.key(key), now: Self.now)
                        #expect(outcome == .missing || outcome == .unavailable)
                    }
                }
                _ = try StoreInspection(path: copy.path)
                let store = try Store(Self.configuration(copy.path))
                #expect(store.recovery.items == 0 && store.checkInvariants() == [])
            }
        }
    }

    /// Narrower limits: the long keys are beyond them.
    @Test func limitsOfARestart() throws {
        let file = try StoreTestFile()
        func configuration(_ keyBytesMax: Int, drops: Bool) -> StoreConfiguration {
            var configuration = Self.configuration(file.path)
            configuration.evicts = false
            var limits = StoreLimits(
                itemsMax: 10, blockBytes: 64, blocksMax: 10, isBitmap: false, valueBytesMax: 64,
                keyBytesMax: keyBytesMax)
            limits.dropsItemsBeyond = drops
            configuration.limits = limits
            return configuration
        }
        do {
            let driver = try StoreDriver(Store(configuration(2048, drops: false)))
            for length in [250, 256, 2048] { Self.set(driver, LongKeyTests.key(length), [1]) }
        }
        #expect(throws: StoreError.fileRefused(path: file.path, .beyondLimits(items: 1))) {
            try Store(configuration(2047, drops: false))
        }
        let driver = try StoreDriver(Store(configuration(256, drops: true)))
        driver.turn(Self.now) { driver in
            let found = [250, 256, 2048].map { driver.find(LongKeyTests.key($0), now: Self.now) != nil }
            #expect(found == [true, true, false])
        }
    }
}
