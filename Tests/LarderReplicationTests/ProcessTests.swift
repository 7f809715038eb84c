import Foundation
import LarderTesting
import Testing

@testable import LarderReplication

/// Several processes: the program `replication-probe` and this one.
@Suite(.serialized) struct ProcessTests {
    @Test(arguments: LogKind.all) func twoProcessesShareOneFile(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let cache = try place.cache()
        let child = try Probe(place, "burst", "child", "2", "100")
        child.awaitEnd()
        let ids = child.numbers("ids")
        #expect(ids.count == 200)
        // No update() is needed, because both processes read the same file.
        #expect(cache.updateID == 200)
        #expect(try cache.get("child-1-99") == "99".bytes)
        #expect(try cache.keys().count == 200)
    }

    /// Eight writers in four processes on two machines, a thousand sets each: no id twice, none skipped.
    @Test(arguments: LogKind.all) func eightWritersNeverGetOneIdTwice(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let sets = 1000
        let children = try (0..<4).map { number in
            try Probe(place, state: "machine\(number % 2)", "burst", "child\(number)", "2", "\(sets)")
        }
        for child in children { child.awaitEnd() }
        let ids = children.flatMap { $0.numbers("ids") }
        #expect(ids.count == 8 * sets)
        #expect(Set(ids) == Set(1...8 * sets))
        let log = ChangeableLog(try place.openLog())
        let fresh = try place.cache("fresh", log: log)
        #expect(Array(log.idsRead.prefix(8 * sets)) == Array(1...UInt64(8 * sets)))
        let expected = try content(fresh)
        #expect(expected.count == 8 * sets)
        for machine in ["machine0", "machine1"] {
            let replica = try place.cache(machine)
            try await replica.update()
            #expect(try content(replica) == expected)
        }
    }

    @Test(arguments: LogKind.all) func readersGoOnWhenTheApplierIsKilled(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let applier = try Probe(place, "idle")
        try applier.awaitOpen()
        let cache = try place.cache()
        try await cache.set("key", "1".bytes)
        #expect(!cache.status.isApplier)
        applier.end()
        #expect(try cache.get("key") == "1".bytes)
        try await cache.set("key", "2".bytes)
        #expect(try cache.get("key") == "2".bytes)
        #expect(cache.status.isApplier)
        #expect(cache.status.rebuilds == 0)
    }

    /// Two processes write, one of them applies. One or both are killed at random moments, 50 times or
    /// `LARDER_REPLICATION_KILLS` times.
    @Test(arguments: LogKind.all) func noUpdateIsLostWhenProcessesAreKilled(_ kind: LogKind) async throws {
        let place = try ReplicationPlace(kind)
        let kills = Int(environmentNumber("LARDER_REPLICATION_KILLS") ?? 50)
        let seed = drawnSeed("kills")
        var random = SeededRandom(seed: seed)
        let writers = [try KilledWriter(place, "a"), try KilledWriter(place, "b")]
        var watch: Watch?
        for number in 0..<kills {
            _ = poll(nil, 0, Int32(random.number(0...120)))
            // Sometimes both are killed, so that no process takes over.
            let both = random.once(in: 8)
            let victim = random.number(0...1)
            for index in 0...1 where both || index == victim { writers[index].kill() }
            for index in 0...1 where both || index == victim {
                if both { try writers[index].start() }
                if watch == nil { watch = Watch(try place.cache { $0.mayApply = false }) }
                try watch?.check(writers[index], "kill \(number), seed \(seed)")
                if !both { try writers[index].start() }
            }
        }
        for writer in writers { writer.kill() }
        let acknowledged = writers.reduce(0) { $0 + $1.acknowledged }
        print("kills: \(kills), sets that returned: \(acknowledged), values seen: \(watch?.seen ?? 0)")
        #expect(acknowledged > kills, "seed \(seed)")
        let survivor = try place.cache()
        try await survivor.update()
        for writer in writers { try Watch(survivor).check(writer, "the end, seed \(seed)") }
        #expect(try content(survivor) == content(place.cache("fresh")), "seed \(seed)")
    }
}
