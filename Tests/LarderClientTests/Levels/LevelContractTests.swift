import Testing

@testable import LarderClient

/// What every stack of levels promises.
@Suite struct LevelContractTests {
    @Test(arguments: LevelStack.allCases)
    func writesThroughToEveryLevel(kind: LevelStack) async throws {
        let stack = try await kind.make()
        try await stack.write("a", "old")
        try await stack.write("a", "new")
        for level in stack.levels {
            #expect(try await level.get(StackUnderTest.key("a"))?.payload == stack.payload("a", "new"))
            #expect(try await level.keys() == [StackUnderTest.key("a")])
        }
        #expect(try await stack.get("a") == stack.payload("a", "new"))
        #expect(try await stack.get("b") == nil)
    }

    @Test(arguments: LevelStack.deeper)
    func bringsWhatItFindsIntoTheLevelsBefore(kind: LevelStack) async throws {
        let stack = try await kind.make()
        try await stack.write("a", for: 100)
        for level in stack.levels.dropLast() { try await level.invalidate(.everything, reason: .evicted) }
        #expect(try await stack.get("a") != nil)
        let reads = stack.reads
        for _ in 0..<3 { #expect(try await stack.get("a") != nil) }
        #expect(stack.reads == reads)
        for level in stack.levels {
            #expect(
                try await level.get(StackUnderTest.key("a"))?.endMilliseconds == stack.clock.now + 100_000)
        }
    }

    @Test(arguments: LevelStack.deeper)
    func evictingFromTheFirstLevelLeavesTheLast(kind: LevelStack) async throws {
        let stack = try await kind.make(limits: LevelLimits(itemsMax: 2))
        for name in ["a", "b", "c", "d"] { try await stack.write(name) }
        #expect(try await stack.names(at: stack.levels[0]) == ["c", "d"])
        #expect(try await stack.names(at: stack.last) == ["a", "b", "c", "d"])
        #expect(try await stack.get("a") != nil)
        #expect(try await stack.names(at: stack.levels[0]) == ["a", "d"])
        #expect(stack.removed(from: 0) == ["a evicted", "b evicted", "c evicted"])
        #expect(stack.removed(from: stack.levels.count - 1).isEmpty)
    }

    @Test(arguments: LevelStack.allCases)
    func itemsGoWhenTheirTimeIsOver(kind: LevelStack) async throws {
        let stack = try await kind.make()
        try await stack.write("a", for: 1)
        try await stack.write("b", for: 2)
        try await stack.write("c")
        await stack.advance(.seconds(1))
        // Nobody reads: the cache's own clock ends it, everywhere.
        await until { stack.removals.value.count == stack.levels.count }
        for level in stack.levels { #expect(try await stack.names(at: level) == ["b", "c"]) }
        await stack.advance(.seconds(1))
        await until { stack.removals.value.count == 2 * stack.levels.count }
        for (depth, level) in stack.levels.enumerated() {
            #expect(try await stack.names(at: level) == ["c"])
            #expect(stack.removed(from: depth) == ["a expired", "b expired"])
        }
    }

    @Test(arguments: LevelStack.allCases)
    func whatHasEndedIsGivenToNobody(kind: LevelStack) async throws {
        // With a clock that wakes nobody, so that nothing is taken out in time.
        let stack = try await kind.make(isTimed: false)
        try await stack.write("a", for: 1)
        try await stack.write("b")
        #expect(try await stack.names("*") == ["a", "b"])
        stack.clock.advance(.milliseconds(999))
        #expect(try await stack.get("a") != nil)
        stack.clock.advance(.milliseconds(1))
        #expect(try await stack.names("*") == ["b"])
        #expect(try await stack.get("a") == nil)
        #expect(try await stack.get("b") != nil)
    }

    @Test(arguments: LevelStack.allCases)
    func tellsOnceOfEachItemThatLeavesALevel(kind: LevelStack) async throws {
        let stack = try await kind.make()
        try await stack.write("ended", for: 1)
        _ = try await stack.cache.lookup("*")
        try await stack.write("a", "1")
        try await stack.write("a", "2")
        _ = try await stack.cache.lookup("*")
        try await stack.cache.remove("*|a")
        await stack.advance(.seconds(1))
        await until { stack.removals.value.count == 3 * stack.levels.count }
        try await stack.write("b")
        _ = try await stack.cache.lookup("*b*")
        try await stack.cache.expunge()
        try await stack.write("c")
        _ = try await stack.cache.lookup("*")
        try await stack.cache.destroy()
        for (depth, level) in stack.levels.enumerated() {
            let isInMemory = depth == 0 || ["second", "map"].contains(level.name)
            #expect(
                stack.removed(from: depth) == ["a overwritten", "a removed", "ended expired", "b expunged"]
                    + (isInMemory ? ["c destroyed"] : []), "at level \(depth)")
        }
        #expect(Set(stack.removals.value.map(\.level)) == Set(stack.levels.map(\.name)))
    }

    @Test(arguments: LevelStack.allCases)
    func removesWhatMatchesAWildcardEverywhere(kind: LevelStack) async throws {
        let stack = try await kind.make()
        for name in ["myitem", "myitem1", "myitem22", "my", "other"] { try await stack.write(name) }
        // What only the first level has.
        try await stack.levels[0].write(
            LevelItem(key: StackUnderTest.key("myitemX"), payload: stack.payload("myitemX")))
        try await stack.cache.remove(StackUnderTest.key("myitem*"))
        for level in stack.levels { #expect(try await stack.names(at: level) == ["my", "other"]) }
        #expect(try await stack.get("myitemX") == nil)
        // Nothing left is no error.
        try await stack.cache.remove(StackUnderTest.key("myitem*"))
        try await stack.cache.remove(StackUnderTest.key("nothing"))
    }

    @Test(arguments: LevelStack.allCases)
    func looksUpOnceUntilSomethingChanges(kind: LevelStack) async throws {
        let stack = try await kind.make()
        for name in ["my1", "my22", "other"] { try await stack.write(name) }
        let pattern = "host.com*|my*"
        let results = try await stack.cache.lookup(pattern)
        #expect(
            Set(results)
                == Set(
                    ["my1", "my22"].map {
                        .init(key: StackUnderTest.key($0), payloadBytes: stack.payload($0).count)
                    }))
        #expect(Array(results).count == 2)
        let reads = stack.reads
        #expect(try await stack.cache.lookup(pattern) == results)
        // What does not belong to it leaves it as it is.
        try await stack.write("other", "2")
        try await stack.cache.remove(StackUnderTest.key("other"))
        #expect(try await stack.cache.lookup(pattern) == results)
        #expect(stack.reads == reads)
        try await stack.write("my")
        #expect(try await stack.names(pattern) == ["my", "my1", "my22"])
        try await stack.cache.remove(StackUnderTest.key("my1"))
        #expect(try await stack.names(pattern) == ["my", "my22"])
        try await stack.write("my", "a longer value")
        #expect(
            try await stack.cache.lookup(pattern).first { $0.key.hasSuffix("|my") }?.payloadBytes
                == stack.payload("my", "a longer value").count)
        try await stack.cache.remove("*2")
        #expect(try await stack.names(pattern) == ["my"])
        // Nothing but items, whatever has been looked up.
        #expect(try await stack.names("*") == ["my"])
        #expect(try await stack.cache.lookup("nothing*").bytes.isEmpty)
        let readsSince = stack.reads
        #expect(try await stack.cache.lookup("nothing*").bytes.isEmpty)
        #expect(stack.reads == readsSince)
        try await stack.cache.expunge()
        #expect(try await stack.names("*").isEmpty)
    }

    @Test(arguments: LevelStack.allCases)
    func aLookupEndsWithTheFirstOfItsItems(kind: LevelStack) async throws {
        let stack = try await kind.make(isTimed: false)
        try await stack.write("late", for: 20)
        try await stack.write("soon", for: 10)
        #expect(try await stack.names("*") == ["late", "soon"])
        let reads = stack.reads
        stack.clock.advance(.seconds(9))
        #expect(try await stack.names("*") == ["late", "soon"])
        #expect(stack.reads == reads)
        stack.clock.advance(.seconds(1))
        #expect(try await stack.names("*") == ["late"])
    }

    @Test(arguments: LevelStack.allCases)
    func expungeEmptiesAndDestroyKeeps(kind: LevelStack) async throws {
        let stack = try await kind.make()
        for name in ["a", "b", "c"] { try await stack.write(name) }
        try await stack.cache.expunge()
        for level in stack.levels { #expect(try await level.keys().isEmpty) }
        #expect(try await stack.get("a") == nil)
        #expect(stack.cache.footprintBytes == 0)
        try await stack.write("a")
        try await stack.cache.destroy()
        #expect(try await stack.levels[0].keys().isEmpty)
        if kind.isLasting { #expect(try await stack.names(at: stack.last) == ["a"]) }
        await #expect(throws: CacheError.self) { try await stack.get("a") }
        await #expect(throws: CacheError.self) { try await stack.write("a") }
        try await stack.cache.destroy()
    }

    @Test(arguments: LevelStack.allCases)
    func dumpsEveryItemOfEveryLevel(kind: LevelStack) async throws {
        let stack = try await kind.make()
        try await stack.write("a", for: 100)
        try await stack.write("b", for: 10)
        try await stack.write("c")
        let dump = try await stack.cache.debugDump()
        let size = stack.payload("c").count
        for level in stack.levels {
            #expect(dump.contains("\(level.name): 3 items, earliest end \(stack.clock.now + 10_000)"))
        }
        let lines = dump.split(separator: "\n").map(String.init)
        let end = stack.clock.now + 100_000
        #expect(
            lines.filter { $0.contains("|a: ") && $0.hasSuffix("ends \(end)") }.count == stack.levels.count)
        #expect(
            lines.filter { $0 == "  host.com|/|c: \(size) bytes, ends never" }.count == stack.levels.count)
        #expect(lines.count == 4 * stack.levels.count)
    }
}
