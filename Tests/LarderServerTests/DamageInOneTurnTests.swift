import Glibc
import LarderTesting
import Testing

@testable import LarderServer
@testable import LarderStore

/// Answers of a process in which the file of one cache was changed. The requests are the first ones after the change,
/// and no turn began in between that would have emptied the cache.
@Suite struct DamageInOneTurnTests {
    /// Two caches with the keys `a` and `b`: `m` lies in memory, and the file of `f` was changed.
    private final class Damaged {
        let caches: NamedCacheTests.Caches
        private let path: String

        init() throws {
            var template = Array("/tmp/larder-damage-XXXXXX".utf8CString)
            let fd = mkstemp(&template)
            path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
            try #require(fd >= 0)
            close(fd)
            unlink(path)
            caches = try NamedCacheTests.Caches([
                "--cache", "name=m,items=64,listen=:0", "--cache", "name=f,items=64,store=\(path),listen=:0",
            ])
            for cache in ["m", "f"] {
                for key in ["a", "b"] { #expect(caches.update(key, "v", in: cache)) }
            }
            let other = open(path, O_WRONLY)
            #expect(pwrite(other, "x", 1, 0) == 1)
            close(other)
            for cache in caches.server.state.caches { cache.store.file?.awaitChange() }
        }

        deinit { unlink(path) }
    }

    private static let values = "VALUE a 0 1\r\nv\r\nVALUE b 0 1\r\nv\r\nEND\r\n"

    /// A cache in memory answers on, and counts each key once.
    @Test func aCacheInMemoryGoesOn() throws {
        let caches = try Damaged().caches
        #expect(caches.send("get a b c\r\nstats\r\n", to: "m").hasPrefix(Self.values))
        let statistics = caches.send("stats\r\n", to: "m")
        #expect(statistics.contains("STAT get_hits 2\r\n") && statistics.contains("STAT get_misses 1\r\n"))
    }

    @Test func aSingleRequestOfACacheInMemoryIsAnswered() throws {
        let caches = try Damaged().caches
        #expect(caches.send("mg a v t\r\n", to: "m") == "VA 1 t-1\r\nv\r\n")
    }

    /// Keys that were found in the changed file are looked up again, are missing, and are counted once.
    @Test func aCacheInTheFileHasNothing() throws {
        let caches = try Damaged().caches
        #expect(caches.send("get a b c\r\n", to: "f") == "END\r\n")
        let statistics = caches.send("stats\r\n", to: "f")
        #expect(statistics.contains("STAT get_hits 0\r\n") && statistics.contains("STAT get_misses 3\r\n"))
    }

    /// A request that makes an item where it finds none ends, too: the damaged index still has the item.
    @Test(arguments: ["mg a v N30\r\n", "ma a N30 J5 v\r\n"])
    func anItemThatIsMadeOnAMiss(request: String) throws {
        let caches = try Damaged().caches
        // The first answer after the change is not sent.
        #expect(caches.send(request, to: "f") == "")
        let isGet = request.hasPrefix("mg")
        #expect(caches.send(request, to: "f").hasPrefix(isGet ? "EN\r\n" : "SERVER_ERROR "))
        #expect(caches.send(request, to: "m").hasPrefix(isGet ? "VA 1\r\nv\r\n" : "CLIENT_ERROR "))
    }

    /// An answer of a single request, which may hold bytes that were never stored, is not sent.
    @Test func anAnswerOutOfTheFileIsNotSent() throws {
        #expect(try Damaged().caches.send("mg a v t\r\n", to: "f") == "")
    }
}
