import Testing

@testable import LarderStore

/// How the arena is cut up, and what an item's header costs.
@Suite struct LayoutTests {
    @Test(arguments: [64 << 10, 1 << 20, 8 << 20, 64 << 20, 100_000_000, 1 << 30, 64 << 30])
    func geometryFits(memoryBytes: Int) throws {
        let geometry = try Geometry(memoryBytes: memoryBytes, slabBytes: memoryBytes == 64 << 10 ? 1024 : nil)
        #expect(geometry.arenaBytes <= memoryBytes)
        #expect(memoryBytes - geometry.arenaBytes < geometry.slabBytes)
        // Parts follow each other, aligned, and are inside the metadata slabs.
        #expect(geometry.slabTableOffset >= 4096 && geometry.slabTableOffset % 64 == 0)
        #expect(geometry.directoryOffset >= geometry.slabTableOffset + geometry.slabCount * 64)
        let blocks = geometry.slabCount * geometry.blocksPerSlab
        let tablesEnd = geometry.directoryOffset + geometry.slabCount * 4
        #expect(geometry.metadataSlabCount * geometry.slabBytes >= tablesEnd)
        #expect(blocks <= 1 << 32 && geometry.blocksPerSlab >= 64)
        // Some hundreds of slabs, and little of the arena for its own tables.
        #expect(geometry.metadataSlabCount * 5 <= geometry.slabCount)
    }

    @Test(arguments: [0, -1, 4096, 1 << 39, Int.max])
    func memoryOutOfRange(bytes: Int) {
        #expect(throws: StoreError.memoryOutOfRange(bytes: bytes)) {
            try Geometry(memoryBytes: bytes, slabBytes: nil)
        }
    }

    @Test(arguments: [0, -4096, 512, 1000, 3 << 10, 1 << 27])
    func slabsOutOfRange(bytes: Int) {
        #expect(throws: StoreError.slabBytesOutOfRange(bytes: bytes)) {
            try Geometry(memoryBytes: 1 << 30, slabBytes: bytes)
        }
    }

    /// Blocks grow with the arena, and a slab must not become too few of them.
    @Test func slabsTooSmallForTheirBlocks() {
        #expect(throws: StoreError.slabBytesOutOfRange(bytes: 1024)) {
            try Geometry(memoryBytes: 1 << 38, slabBytes: 1024)
        }
    }

    @Test func tooFewSlabs() {
        #expect(throws: StoreError.memoryOutOfRange(bytes: 1 << 20)) {
            try Geometry(memoryBytes: 1 << 20, slabBytes: 1 << 18)
        }
    }

    @Test func headersArePinned() {
        func form(_ valueLength: Int, _ flags: UInt32, expires: Bool, wideCas: Bool) -> ItemForm {
            ItemForm(valueLength: valueLength, clientFlags: flags, expires: expires, wideCas: wideCas)
        }
        #expect(form(0, 0, expires: false, wideCas: false).headerBytes == 10)
        #expect(form(0xffff, 0, expires: false, wideCas: false).headerBytes == 10)
        #expect(form(0x10000, 0, expires: false, wideCas: false).headerBytes == 14)
        #expect(form(0, 1, expires: false, wideCas: false).headerBytes == 14)
        #expect(form(0, 0, expires: true, wideCas: false).headerBytes == 14)
        #expect(form(0, 0, expires: false, wideCas: true).headerBytes == 18)
        let all = form(0x10000, 1, expires: true, wideCas: true)
        #expect(all.headerBytes == 30)
        #expect(
            all.expiryOffset == 16 && all.clientFlagsOffset == 20 && all.longValueOffset == 24
                && all.accessedOffset == 28)
        let some = form(0x10000, 0, expires: true, wideCas: false)
        #expect(some.expiryOffset == 8 && some.longValueOffset == 12)
    }

    /// The length of a long key takes two bytes, behind the fields that it may stand beside.
    @Test func headersOfLongKeysArePinned() {
        func form(_ keyLength: Int, _ valueLength: Int = 0, all: Bool = false) -> ItemForm {
            ItemForm(
                valueLength: valueLength, clientFlags: all ? 1 : 0, expires: all, wideCas: all,
                fixedBits: (keyLength > 255 ? ItemForm.longKey.rawValue : 0) | (all ? ItemForm.checked.rawValue : 0))
        }
        #expect(form(255).headerBytes == 10 && !form(255).contains(.longKey))
        for length in [256, 2048, 65_535] {
            #expect(form(length).headerBytes == 12 && form(length).contains(.longKey))
            #expect(form(length).longKeyOffset == 8 && form(length).accessedOffset == 10)
        }
        let all = form(256, 0x10000, all: true)
        #expect(
            all.headerBytes == 36 && all.checksumOffset == 28 && all.longKeyOffset == 32 && all.accessedOffset == 34)
        for form in UInt8.min...UInt8.max {
            #expect(ItemForm(rawValue: form).headerLength == ItemForm(rawValue: form).headerBytes, "\(form)")
        }
    }

    @Test func shapesCountTheirHeader() {
        var shape = ItemShape(keyLength: 20, valueLength: 100, clientFlags: 0, expiryMilliseconds: Int64.max)
        #expect(shape.totalBytes(wideCas: false) == 130)
        shape.expiryMilliseconds = 5
        shape.clientFlags = 5
        #expect(shape.totalBytes(wideCas: false) == 138)
        #expect(shape.totalBytes(wideCas: true) == 146)
    }
}
