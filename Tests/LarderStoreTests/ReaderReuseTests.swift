import CLarderArena
import Glibc
import LarderTesting
import Testing

@testable import LarderStore

/// A writer that empties and fills a slab again while a reader is between the index and the item.
@Suite struct ReaderReuseTests {
    private static let now: Int64 = 1_700_000_000_000

    /// A mapped arena that calls back once, when the reader goes on to the item's record.
    private struct InterruptedSource: ArenaSource {
        final class Interruption {
            var action: ((_ itemOffset: Int) -> Void)?
            var itemOffset = 0
        }

        let base: UnsafeRawPointer
        let interruption: Interruption

        func bytes(at offset: Int, count: Int, _ place: ArenaPlace) -> UnsafeRawPointer? {
            if place == .item { interruption.itemOffset = offset }
            if place == .record, let action = interruption.action {
                interruption.action = nil
                action(interruption.itemOffset)
            }
            return base + offset
        }

        func copy(at offset: Int, count: Int, to target: UnsafeMutableRawPointer) -> Bool {
            MappedSource(base: base).copy(at: offset, count: count, to: target)
        }
    }

    private final class Place {
        let file: StoreTestFile
        let store: Store
        let driver: StoreDriver
        let view: ArenaView

        init() throws {
            file = try StoreTestFile()
            var configuration = StoreConfiguration(
                memoryBytes: 64 * 4096, slabBytes: 4096, bucketIntervalMilliseconds: 1000, filePath: file.path)
            configuration.openedAtMilliseconds = ReaderReuseTests.now
            store = try Store(configuration)
            driver = try StoreDriver(store)
            view = try ArenaView.open(file.path, isMapped: true)
        }

        deinit { view.close() }

        func set(_ key: String, _ value: [UInt8]) {
            driver.turn(ReaderReuseTests.now) { driver in
                #expect(driver.set(Array(key.utf8), value, now: ReaderReuseTests.now) == .stored)
            }
        }

        /// The four bytes of the key of the item at `offset`. The index is not asked.
        func key(at offset: Int, _ base: UnsafeRawPointer) -> String {
            let head = larder_load_head(base + offset)
            let start = ItemForm(rawValue: UInt8(truncatingIfNeeded: head)).headerBytes
            return String(decoding: UnsafeRawBufferPointer(start: base + offset + start, count: 4), as: UTF8.self)
        }
    }

    /// One look for `a000`; meanwhile other keys take its place.
    private func look(whileStoring value: @escaping (String) -> [UInt8]) throws -> (
        outcome: InPlaceRead<InterruptedSource>.Outcome, value: [UInt8], other: String
    ) {
        let place = try Place()
        let base = try #require(place.view.base)
        place.set("a000", Array("first".utf8))
        let interruption = InterruptedSource.Interruption()
        var other = "a000"
        interruption.action = { offset in
            // Other items until one of them begins where the first began.
            for number in 0..<100_000 where other == "a000" {
                let key = "b\(String(1000 + number % 1000).dropFirst())"
                place.set(key, value(key))
                if place.key(at: offset, base) != "a000" { other = place.key(at: offset, base) }
            }
        }
        let read = InPlaceRead(
            source: InterruptedSource(base: base, interruption: interruption), geometry: place.view.geometry,
            hashSeed: place.view.hashSeed)
        var copy = CopyBuffer()
        defer { copy.free() }
        let outcome = Array("a000".utf8).withUnsafeBytes { key in
            let hash = KeyHash.hash(key.baseAddress.unsafelyUnwrapped, count: key.count, seed: place.view.hashSeed)
            return read.look(for: key, hash: hash, now: Self.now, &copy)
        }
        var found: [UInt8] = []
        if case .found(let item) = outcome {
            found = [UInt8](UnsafeRawBufferPointer(start: copy.start + 4, count: item.valueLength))
        }
        return (outcome, found, other)
    }

    @Test func aSlabOfOtherItemsIsNoValue() throws {
        let (outcome, value, other) = try look { Array($0.utf8) + Array(".".utf8) }
        #expect(other.hasPrefix("b"), "the place was not used again")
        guard case .changing = outcome else {
            Issue.record("\(outcome), with the value \(String(decoding: value, as: UTF8.self)) of \(other)")
            return
        }
    }

    // MARK: A length that changes

    /// A mapped arena in whose file the upper half of a large value's length changes while the value is copied.
    private struct LengthChangingSource: ArenaSource {
        let base: UnsafeRawPointer
        let file: Int32
        let interruption: InterruptedSource.Interruption

        func bytes(at offset: Int, count: Int, _ place: ArenaPlace) -> UnsafeRawPointer? {
            if place == .item { interruption.itemOffset = offset }
            return base + offset
        }

        func copy(at offset: Int, count: Int, to target: UnsafeMutableRawPointer) -> Bool {
            let item = interruption.itemOffset
            let form = ItemForm(rawValue: UInt8(truncatingIfNeeded: larder_load_head(base + item)))
            var upper: UInt32 = 0x00ff_ffff
            #expect(pwrite(file, &upper, 4, off_t(item + form.longValueOffset)) == 4)
            return MappedSource(base: base).copy(at: offset, count: count, to: target)
        }
    }

    /// The reader takes the length once: a later one would lead it out of the arena.
    @Test func aLengthThatChangesIsReadOnce() throws {
        let file = try StoreTestFile()
        var configuration = StoreConfiguration(memoryBytes: 8 << 20, filePath: file.path)
        configuration.openedAtMilliseconds = Self.now
        let driver = try StoreDriver(try Store(configuration))
        let value = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 / 7) }
        driver.turn(Self.now) { driver in
            #expect(driver.set(Array("large".utf8), value, now: Self.now) == .stored)
        }
        let view = try ArenaView.open(file.path, isMapped: true)
        defer { view.close() }
        let descriptor = open(file.path, O_RDWR)
        defer { close(descriptor) }
        let source = LengthChangingSource(
            base: try #require(view.base), file: descriptor, interruption: InterruptedSource.Interruption())
        let read = InPlaceRead(source: source, geometry: view.geometry, hashSeed: view.hashSeed)
        var copy = CopyBuffer()
        defer { copy.free() }
        let outcome = Array("large".utf8).withUnsafeBytes { key in
            let hash = KeyHash.hash(key.baseAddress.unsafelyUnwrapped, count: key.count, seed: view.hashSeed)
            return read.look(for: key, hash: hash, now: Self.now, &copy)
        }
        guard case .found(let item) = outcome else {
            Issue.record("\(outcome)")
            return
        }
        #expect(item.valueLength == value.count)
        #expect(UnsafeRawBufferPointer(start: copy.start + 5, count: value.count).elementsEqual(value))
    }
}
