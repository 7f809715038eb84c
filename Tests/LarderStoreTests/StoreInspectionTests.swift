import CLarderArena
import Foundation
import LarderTesting
import Synchronization
import Testing

@testable import LarderStore

/// An inspection finds what is there, and what is wrong, in files of every condition.
@Suite struct StoreInspectionTests {
    private static let now = StoreClock().now()

    /// A store in which something of everything has happened.
    private static func fill(_ file: StoreTestFile, seed: UInt64) throws -> StoreDriver {
        var configuration = StoreConfiguration(
            memoryBytes: 96 * 4096, slabBytes: 4096, bucketIntervalMilliseconds: 1000, filePath: file.path)
        configuration.openedAtMilliseconds = now
        var random = SeededRandom(seed: seed)
        let driver = try StoreDriver(Store(configuration))
        driver.turn(now) { driver in
            for number in 0..<1500 {
                let key = Array("key-\(random.number(0...600))".utf8)
                let expiry =
                    random.once(in: 3) ? Int64.max : now + Int64(random.number(3_600_000...7_200_000))
                let length = number % 100 == 0 ? 9000 : random.number(0...200)
                _ = driver.store(
                    .set, key, .value(length, seed: UInt64(number)), flags: UInt32(number % 3),
                    expiry: expiry,
                    now: now)
                if random.once(in: 5) { _ = driver.delete(key, now: now) }
                if random.once(in: 9) { _ = driver.touch(key, expiry: expiry - 1000, now: now) }
            }
        }
        return driver
    }

    @Test(arguments: 1...8)
    func closedFile(seed: UInt64) throws {
        let file = try StoreTestFile()
        var items: Int64 = 0
        var bytes = 0
        do {
            let driver = try Self.fill(file, seed: seed)
            let statistics = driver.statistics
            items = statistics.counters.items
            bytes = statistics.liveBytes
        }
        let inspection = try inspectClosedFile(file.path)
        #expect(inspection.problems == [])
        #expect(inspection.notes == [])
        #expect(inspection.owner == .nobody)
        #expect(inspection.items.live == Int(items))
        #expect(inspection.items.liveBytes == bytes)
        #expect(inspection.slabs.count == inspection.slabCount)
        #expect(inspection.index.usedSlots == Int(items))
        #expect(inspection.index.chainsByLines.reduce(0, +) == inspection.index.buckets)
        #expect(inspection.timeBuckets.reduce(0) { $0 + $1.items } == Int(items))
        #expect(inspection.timeBuckets.count > 1)
        #expect(inspection.slabs.contains { $0.state == .runHead })
    }

    @Test func openFile() throws {
        let file = try StoreTestFile()
        let driver = try Self.fill(file, seed: 3)
        let inspection = try StoreInspection(path: file.path)
        #expect(inspection.owner == .process(UInt64(getpid())))
        #expect(inspection.problems == [])
        #expect(inspection.items.live == Int(driver.statistics.counters.items))
    }

    /// A writer at full speed all the while: nothing of that is damage.
    @Test func fileThatIsBeingWritten() throws {
        let file = try StoreTestFile()
        let store = try Self.fill(file, seed: 4).whole
        let isStopped = Mutex(false)
        let hasEnded = DispatchSemaphore(value: 0)
        Thread {
            var random = SeededRandom(seed: 5)
            guard let driver = try? StoreDriver(store) else { return }
            while !isStopped.withLock({ $0 }) {
                driver.turn(Self.now) { driver in
                    let key = Array("key-\(random.number(0...600))".utf8)
                    _ = driver.set(key, .value(random.number(0...400), seed: random.next()), now: Self.now)
                    if random.once(in: 100) { _ = driver.set(key, .value(9000, seed: 1), now: Self.now) }
                }
            }
            hasEnded.signal()
        }.start()
        for _ in 0..<20 {
            let inspection = try StoreInspection(path: file.path)
            #expect(inspection.problems == [])
            #expect(inspection.items.live > 100)
        }
        isStopped.withLock { $0 = true }
        hasEnded.wait()
    }

    /// The blocks of an item that is being written may have anything in them, such as a hole of the slab's former life.
    @Test func itemThatIsBeingWritten() throws {
        let file = try StoreTestFile()
        let driver = try Self.fill(file, seed: 4)
        defer { withExtendedLifetime(driver) {} }
        let state = driver.whole.state
        let blocks = 20
        let open = (0..<state.slabCount).first {
            state.slabs.state($0) == .open
                && Int(state.slabs[$0].cursor_blocks) + blocks <= state.blocksPerSlab
        }
        let slab = try #require(open)
        let first = state.firstBlock(ofSlab: slab) + state.slabs[slab].cursor_blocks
        for block in first..<first + UInt32(blocks) {
            state.address(ofBlock: block).storeBytes(of: UInt64.max, as: UInt64.self)
        }
        state.writeDeadItem(block: first + 10, blockCount: 5)
        state.slabs.record(slab).pointee.cursor_blocks += UInt32(blocks)
        let inspection = try StoreInspection(path: file.path)
        #expect(inspection.problems == [])
        #expect(inspection.items.unfinished == 1)
        // The end of the test checks the store, which takes this for an item.
        state.writeDeadItem(block: first, blockCount: blocks)
    }

    /// What a kill leaves can be looked at, and is no damage.
    @Test func fileOfAKilledProcess() throws {
        let file = try StoreTestFile()
        var items: Int64 = 0
        do {
            let driver = try Self.fill(file, seed: 6)
            try file.keepImage()
            items = driver.statistics.counters.items
        }
        try file.restoreImage()
        let inspection = try StoreInspection(path: file.path)
        #expect(inspection.owner == .killedProcess(UInt64(getpid())))
        #expect(inspection.problems == [])
        #expect(inspection.items.live == Int(items))
    }

    @Test func damageIsFound() throws {
        let file = try StoreTestFile()
        do { _ = try Self.fill(file, seed: 7) }
        let image = try file.bytes
        let whole = try StoreInspection(path: file.path)
        let sealed = try #require(
            whole.slabs.indices.first {
                whole.slabs[$0].state == .sealed && whole.slabs[$0].liveHundredths > 30
            })
        let index = try #require(whole.slabs.indices.last { whole.slabs[$0].state == .index })

        func problems(_ change: (inout [UInt8]) -> Void) throws -> Int {
            var bytes = image
            change(&bytes)
            try file.replace(with: bytes)
            return try StoreInspection(path: file.path).problemCount
        }
        #expect(try problems { _ in } == 0)
        // An item's first value byte, most of a slab, a record, the index, either superblock, the end.
        #expect(try problems { $0[sealed * 4096 + 40] ^= 1 } > 0)
        #expect(try problems { for byte in 0..<2048 { $0[sealed * 4096 + byte] = 0 } } > 0)
        #expect(try problems { $0[4096 + sealed * 64] = 77 } > 0)
        #expect(try problems { $0[4096 + sealed * 64 + 8] ^= 4 } > 0)
        #expect(try problems { for byte in 0..<4096 { $0[index * 4096 + byte] = 0 } } > 0)
        #expect(try problems { for byte in 0..<4096 { $0[index * 4096 + byte] = 0xee } } > 0)
        #expect(try problems { $0[60] ^= 1 } > 0)
        #expect(try problems { $0[$0.count - 4096 + 60] ^= 1 } > 0)
        #expect(try problems { $0.removeLast(10_000) } > 0)
    }

    @Test func mutatedFilesAreNoDanger() throws {
        let file = try StoreTestFile()
        do { _ = try Self.fill(file, seed: 8) }
        let image = try file.bytes
        var looked = 0
        for seed in 0..<UInt64(60) {
            var random = SeededRandom(seed: seed)
            var bytes = image
            for _ in 0..<random.number(1...60) {
                let place =
                    random.once(in: 2) ? random.number(192...16_000) : random.number(192...bytes.count - 1)
                bytes[place] = random.once(in: 2) ? 0xff : UInt8(truncatingIfNeeded: random.next())
            }
            if random.once(in: 10) { bytes.removeLast(random.number(1...bytes.count / 2)) }
            try file.replace(with: bytes)
            let inspection = try StoreInspection(path: file.path)
            looked += inspection.slabs.count
        }
        #expect(looked == 60 * 96)
    }

    /// A server that creates a file has it locked. The incomplete file is not reported as damage.
    @Test func fileThatIsBeingMade() throws {
        let file = try StoreTestFile()
        do { _ = try Self.fill(file, seed: 9) }
        var image = try file.bytes
        // A file before its owner is written: no process, and no second superblock.
        for byte in Self.ownerField { image[byte] = 0 }
        for byte in image.count - 4096..<image.count { image[byte] = 0 }
        for stage in [[], Array(image[..<4096]), image] {
            try file.replace(with: stage)
            let fd = open(file.path, O_RDWR)
            try #require(flock(fd, LOCK_EX | LOCK_NB) == 0)
            #expect(throws: StoreError.fileRefused(path: file.path, .beingMade)) {
                _ = try StoreInspection(path: file.path)
            }
            close(fd)
            // The creating server was killed: the report says so, and reports no damage.
            let error = #expect(throws: StoreError.self) { _ = try StoreInspection(path: file.path) }
            #expect(error.map { "\($0)".contains(stage.isEmpty ? "empty" : "half made") } == true)
        }
        // A complete file that was not closed.
        try file.replace(with: image)
        do { _ = try Store(StoreConfiguration(memoryBytes: 96 * 4096, slabBytes: 4096, filePath: file.path)) }
        #expect(try StoreInspection(path: file.path).problems == [])
    }

    /// The place of the owner's process id and of the clean mark in the superblock.
    private static let ownerField = 120..<136

    @Test func noStore() throws {
        let file = try StoreTestFile()
        for bytes in [[], Array("hello".utf8), [UInt8](repeating: 0, count: 100_000)] {
            try file.replace(with: bytes)
            #expect(throws: StoreError.self) { _ = try StoreInspection(path: file.path) }
        }
        #expect(throws: StoreError.self) { _ = try StoreInspection(path: "/tmp") }
        #expect(throws: StoreError.self) { _ = try StoreInspection(path: file.path + "-absent") }
    }
}
