import Foundation
import Testing

@testable import LarderReplication

/// The tests of whycache's own program, translated: each over FileLog.
@Suite(.serialized) struct WhycacheTests {
    @Test(arguments: LogKind.all) func getMissingKey(_ kind: LogKind) throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        #expect(try cache.get("missing_key") == nil)
    }

    @Test(arguments: LogKind.all) func getAfterSet(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        try await cache.set("key1", "value1".bytes)
        try await cache.set("key2", [])
        try await cache.set([0, 255, 0], [0, 1, 255])
        #expect(try cache.get("key1") == "value1".bytes)
        #expect(try cache.get("key2") == [])
        #expect(try cache.get([0, 255, 0]) == [0, 1, 255])
    }

    @Test(arguments: LogKind.all) func getAfterDelete(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        try await cache.set("key1", "value1".bytes)
        try await cache.set("key2", "2".bytes)
        #expect(try cache.get("key2") == "2".bytes)
        try await cache.delete("key2")
        #expect(try cache.get("key1") == "value1".bytes)
        #expect(try cache.get("key2") == nil)
    }

    @Test(arguments: LogKind.all) func getShared(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        try await cache.set("key1", "value1".bytes)
        try await cache.set("key2", "2".bytes)
        let other = try place.cache()
        #expect(other.updateID == cache.updateID)
        #expect(try other.get("key1") == "value1".bytes)
        try await other.set("key1", "value1111".bytes)
        #expect(try cache.get("key1") == "value1111".bytes)
        #expect(cache.updateID == 3)
    }

    @Test(arguments: LogKind.all) func recreateSharedState(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        try await cache.set("key1", "value1".bytes)
        try await cache.set("key2", "2".bytes)
        cache.close()
        try FileManager.default.removeItem(atPath: place.state())
        let again = try place.cache()
        #expect(try again.get("key1") == "value1".bytes)
        #expect(try again.get("key2") == "2".bytes)
        #expect(again.updateID == 2)
    }

    @Test(arguments: LogKind.all) func iterators(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        for key in ["key1", "key3", "key5"] { try await cache.set(key, key.bytes) }
        #expect(try cache.keys().map(\.text) == ["key1", "key3", "key5"])
        #expect(try cache.values().map(\.text) == ["key1", "key3", "key5"])
        var items = cache.items()
        #expect(try items.next()?.key.text == "key1")
        // Not visited: the walk has already looked up key3.
        try await cache.set("key2", "2".bytes)
        // Visited: key4 comes after key3.
        try await cache.set("key4", "4".bytes)
        #expect(try items.next()?.key.text == "key3")
        #expect(try items.next() == ReplicatedItems.Item(key: "key4".bytes, value: "4".bytes))
        #expect(try items.next()?.key.text == "key5")
        #expect(try items.next() == nil)
        try await cache.deleteMulti(["key2".bytes, "key4".bytes])
        var again = cache.items()
        #expect(try again.rest().map(\.value.text) == ["key1", "key3", "key5"])
    }

    @Test(arguments: LogKind.all) func valueTooLarge(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        await #expect(throws: ReplicationError.updateTooLarge(bytes: 1 << 20 + 20, limit: 1 << 20)) {
            try await cache.set("key1", [UInt8](repeating: 42, count: 1 << 20))
        }
        #expect(try place.openLog().latest().id == 0)
    }

    @Test(arguments: LogKind.all) func setMultiLargeValues(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        let data = [UInt8](repeating: 42, count: 128 << 10)
        let last = try await cache.setMulti(
            Dictionary(uniqueKeysWithValues: (0..<20).map { ("key\($0)".bytes, data) }))
        #expect(last == 3)
        for number in 0..<20 { #expect(try cache.get("key\(number)") == data) }
    }

    @Test(arguments: LogKind.all) func setMultiSingleExcessiveValue(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        let data = [UInt8](repeating: 42, count: 128 << 10)
        var values = Dictionary(uniqueKeysWithValues: (0..<20).map { ("key\($0)".bytes, data) })
        values["largekey".bytes] = [UInt8](repeating: 42, count: 1 << 20)
        await #expect(throws: ReplicationError.self) { try await cache.setMulti(values) }
        #expect(try cache.keys().isEmpty)
        #expect(try place.openLog().latest().id == 0)
    }

    @Test(arguments: LogKind.all) func setEmptyKey(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        await #expect(throws: ReplicationError.emptyKey) { try await cache.set("", "4".bytes) }
        await #expect(throws: ReplicationError.emptyKey) { try await cache.setMulti([[]: [4], [1]: [5]]) }
        await #expect(throws: ReplicationError.keyTooLong(bytes: 251, limit: 250)) {
            try await cache.set([UInt8](repeating: 1, count: 251), [4])
        }
        try await cache.set([UInt8](repeating: 1, count: 250), [4])
        #expect(try cache.get([UInt8](repeating: 1, count: 250)) == [4])
        #expect(try cache.get([UInt8](repeating: 1, count: 251)) == nil)
    }
}
