import CLarderArena
import Foundation
import LarderTesting
import Testing

@testable import LarderStore

/// No item is lost by a wrong bit in a record of the slab table, because the items show the bit.
@Suite struct SlabRecordTests {
    private static let now: Int64 = 1_700_000_000_000
    private static let slabBytes = 4096

    /// A store's file as a kill leaves it, and its items.
    private final class Original {
        let file: StoreTestFile
        let bytes: [UInt8]
        let configuration: StoreConfiguration
        let items: [[UInt8]: [UInt8]]

        init() throws {
            file = try StoreTestFile()
            var configuration = StoreConfiguration(
                memoryBytes: 96 * SlabRecordTests.slabBytes, slabBytes: SlabRecordTests.slabBytes, hashSeed: 7,
                filePath: file.path)
            configuration.openedAtMilliseconds = SlabRecordTests.now
            self.configuration = configuration
            let store = try Store(configuration)
            let driver = try StoreDriver(store)
            var items: [[UInt8]: [UInt8]] = [:]
            for number in 0..<900 {
                let key = Self.key(number)
                // Slabs without expiry, slabs of time buckets, runs, and large items.
                let length = number % 100 == 99 ? 3 * SlabRecordTests.slabBytes : number % 50 == 49 ? 1500 : number % 90
                let expiry = number % 3 == 0 ? SlabRecordTests.now + 100_000 + Int64(number % 2) * 1_000_000 : Int64.max
                let value = [UInt8].value(length, seed: UInt64(number))
                driver.turn(SlabRecordTests.now) { driver in
                    #expect(driver.set(key, value, expiry: expiry, now: SlabRecordTests.now) == .stored)
                    items[key] = value
                    guard number % 7 == 6 else { return }
                    let gone = Self.key(number - 5)
                    #expect(driver.delete(gone, now: SlabRecordTests.now) == .stored)
                    items[gone] = nil
                }
            }
            self.items = items
            bytes = try file.bytes
        }

        /// A few keys are long.
        private static func key(_ number: Int) -> [UInt8] {
            number % 60 == 7 ? [UInt8](keyOfAnyLength: number) : [UInt8](key: "key-\(number)")
        }

        /// Opens the file with one bit changed.
        func open(flipping bit: Int?, at offset: Int) throws -> (Store, StoreTestFile) {
            let place = try StoreTestFile()
            var bytes = bytes
            if let bit { bytes[offset + bit / 8] ^= 1 << UInt8(bit % 8) }
            try place.replace(with: bytes)
            var configuration = configuration
            configuration.filePath = place.path
            return (try Store(configuration), place)
        }

        /// Keys whose items are missing or have changed.
        func lost(in store: Store) throws -> Int {
            let driver = try StoreDriver(store)
            return driver.turn(SlabRecordTests.now) { driver in
                items.count { driver.find($0.key, now: SlabRecordTests.now)?.value != $0.value }
            }
        }

        func record(_ slab: Int) -> larder_slab {
            bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset(of: slab), as: larder_slab.self) }
        }
        func offset(of slab: Int) -> Int { Int(LARDER_PAGE_BYTES) + slab * MemoryLayout<larder_slab>.size }
        var slabCount: Int { 96 }
    }

    /// Wrong bits in the records of slabs of each state, with and without expiry.
    @Test func everyBitOfARecordIsMended() throws {
        let original = try Original()
        do {
            let (store, file) = try original.open(flipping: nil, at: 0)
            #expect(try original.lost(in: store) == 0)
            #expect(store.recovery.notices.isEmpty && store.recovery.droppedItems == 0)
            withExtendedLifetime(file) {}
        }
        var chosen: [Int] = []
        for state in [SlabState.open, .sealed, .runHead, .runTail, .index, .free] {
            for hasExpiry in [false, true] {
                let slabs = (0..<original.slabCount).filter {
                    let record = original.record($0)
                    return record.slabState == state && (record.expiry_end_ms != Int64.max) == hasExpiry
                }
                if let slab = slabs.first { chosen.append(slab) }
            }
        }
        #expect(chosen.count >= 8, "\(chosen)")
        for (number, slab) in chosen.enumerated() {
            // All bits of one record, and every fifth of the others.
            let step = number == 0 ? 1 : 5
            for bit in stride(from: number % step, to: 8 * MemoryLayout<larder_slab>.size, by: step) {
                let (store, file) = try original.open(flipping: bit, at: original.offset(of: slab))
                let lost = try original.lost(in: store)
                let record = original.record(slab)
                #expect(lost == 0, "slab \(slab) in state \(record.state), bit \(bit): \(lost) items lost")
                #expect(store.checkInvariants().isEmpty, "slab \(slab), bit \(bit)")
                withExtendedLifetime(file) {}
            }
        }
    }

    /// The log has a line about the mended record.
    @Test func theLogReportsMendedRecords() throws {
        let original = try Original()
        let sealed = try #require((0..<original.slabCount).first { original.record($0).slabState == .sealed })
        let sequence = try #require(MemoryLayout<larder_slab>.offset(of: \.sequence))
        for bit in [1, 8 * sequence + 3] {
            let (store, file) = try original.open(flipping: bit, at: original.offset(of: sealed))
            #expect(store.recovery.notices.count == 1, "\(store.recovery.notices)")
            #expect(store.recovery.notices.first?.contains("1 damaged records of slabs were mended") == true)
            withExtendedLifetime(file) {}
        }
    }
}
