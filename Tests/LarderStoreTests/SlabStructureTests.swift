import LarderTesting
import Testing

@testable import LarderStore

/// The small parts that slabs are made of.
@Suite struct SlabStructureTests {
    @Test func listsKeepTheirOrder() {
        let links = UnsafeMutablePointer<SlabLinks>.allocate(capacity: 50)
        links.initialize(repeating: SlabLinks(), count: 50)
        defer { links.deallocate() }
        var random = SeededRandom(seed: 1)
        var list = SlabList()
        var model: [Int] = []
        for _ in 0..<5000 {
            let slab = random.number(0...49)
            if let place = model.firstIndex(of: slab) {
                list.remove(slab, links)
                model.remove(at: place)
            } else if random.once(in: 2) {
                list.append(slab, links)
                model.append(slab)
            } else {
                list.prepend(slab, links)
                model.insert(slab, at: 0)
            }
            #expect(list.count == model.count && list.first == model.first)
        }
        var walked: [Int] = []
        var next = list.head
        while next != SlabList.none {
            walked.append(Int(next))
            next = links[Int(next)].next
        }
        #expect(walked == model)
    }

    @Test func bitmapAgreesWithANaiveOne() throws {
        let store = try Store(StoreConfiguration(memoryBytes: 128 << 10, slabBytes: 1024, hashSeed: 1))
        let state = store.state
        let first = Int(state.firstBlock(ofSlab: store.geometry.metadataSlabCount))
        let count = 20 * state.blocksPerSlab
        var model = [Bool](repeating: false, count: count)
        var random = SeededRandom(seed: 2)
        for _ in 0..<3000 {
            let length = random.number(1...(random.once(in: 4) ? 300 : 20))
            let start = random.number(0...count - length)
            let isSet = random.once(in: 2)
            if isSet {
                state.setBlocks(UInt32(first + start), count: length)
            } else {
                state.clearBlocks(UInt32(first + start), count: length)
            }
            for block in start..<start + length { model[block] = isSet }
            let from = random.number(0...count - 1)
            let end = random.number(from...count)
            let expected = model[from..<end].firstIndex(of: true).map { $0 + first }
            #expect(state.nextUsedBlock(from: first + from, end: first + end) == expected)
            #expect(state.isBlockUsed(first + from) == model[from])
        }
        state.clearAllBlocks(ofSlab: store.geometry.metadataSlabCount)
        for block in 0..<state.blocksPerSlab { model[block] = false }
        for block in 0..<count { #expect(state.isBlockUsed(first + block) == model[block]) }
        for block in 0..<count { state.clearBlocks(UInt32(first + block), count: 1) }
    }

    @Test func countersAreNothingButNumbers() {
        let children = Mirror(reflecting: StoreCounters()).children
        #expect(StoreCounters.fieldCount == children.count)
        #expect(children.allSatisfy { $0.value is Int64 })
    }
}
