import LarderTesting
import Testing

@testable import LarderStore

/// The small parts that slabs are made of.
@Suite struct SlabStructureTests {
    @Test func listsKeepTheirOrder() {
        let links = SharedArray(allocating: SlabLinks(), count: 50)
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

    /// What was reserved and not used is one dead item that a walk steps over exactly.
    @Test(arguments: [2, 3, 4, 100, 8192, 32_768])
    func blocksGivenUpAreOneDeadItem(blockCount: Int) throws {
        let store = try Store(StoreConfiguration(memoryBytes: 8 << 20, slabBytes: 256 << 10, hashSeed: 1))
        let state = store.state
        let block = state.firstBlock(ofSlab: store.geometry.metadataSlabCount)
        state.writeDeadItem(block: block, blockCount: blockCount)
        let item = Item(state.address(ofBlock: block))
        #expect(item.form.contains(.dead))
        #expect(state.blockCount(forBytes: item.totalBytes) == blockCount)
    }

    @Test func countersAreNothingButNumbers() {
        let children = Mirror(reflecting: StoreCounters()).children
        #expect(StoreCounters.fieldCount == children.count)
        #expect(children.allSatisfy { $0.value is Int64 })
    }
}
