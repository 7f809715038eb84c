import Glibc
import LarderTesting
import Testing

@testable import LarderServer
@testable import LarderStore

/// Answers of a process in which the file of one cache was changed. The requests are the first ones after the change,
/// and no turn began in between that would have emptied the cache. Serialized, since a change is noticed by all servers of
/// a process.
@Suite(.serialized) struct DamageInOneTurnTests {
    /// Two caches with the keys `a` and `b`: `m` lies in memory, and the file of `f` was changed.
    private final class Damaged {
        let caches: NamedCacheTests.Caches
        private let path: String

        /// - Parameter isChanged: whether the file is changed at once.
        init(isChanged: Bool = true) throws {
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
            guard isChanged else { return }
            change()
            for cache in caches.server.state.caches { cache.store.file?.awaitChange() }
        }

        func change() {
            let other = open(path, O_WRONLY)
            #expect(pwrite(other, "x", 1, 0) == 1)
            close(other)
        }

        /// The answer to a request, if the file changes after the answer was made. The thread watches the file.
        func answer(_ request: String, of cache: String) -> String {
            let watch = caches.server.state.watchFilesInThread()
            defer { extendLifetime(watch) }
            let isWatched = watch.isComplete
            #expect(isWatched)
            caches.server.beforeSending = { [self] in
                caches.server.beforeSending = nil
                change()
            }
            return caches.send(request, to: cache)
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

    /// An answer that waits to be sent when the file changes is not sent. That holds for each kind of request.
    @Test(arguments: ["get a\r\n", "get a b c\r\n", "mg a v t\r\n", "gat 0 a\r\n", "incr a 1\r\n"])
    func aChangeBeforeTheAnswerIsSent(request: String) throws {
        #expect(try Damaged(isChanged: false).answer(request, of: "f") == "")
        #expect(try Damaged(isChanged: false).answer(request, of: "m") != "")
    }

    /// A thread that watches needs no other thread to notice a change.
    @Test func aThreadThatWatchesKnowsAtOnce() throws {
        let damaged = try Damaged(isChanged: false)
        let watch = damaged.caches.server.state.watchFilesInThread()
        defer { extendLifetime(watch) }
        let isWatched = watch.isComplete
        #expect(isWatched)
        #expect(damaged.caches.send("get a b\r\n", to: "f") == Self.values)
        damaged.change()
        #expect(damaged.caches.send("get a b\r\n", to: "f") == "END\r\n")
        #expect(damaged.caches.send("get a b\r\n", to: "m") == Self.values)
    }

    @Test func aPieceOfADumpIsNotSentAfterAChange() throws {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        defer { close(ends[1]) }
        let connection = DumpConnection(owning: ends[0], try StopSignal())
        let cases: [(UInt32?, DumpFailure?)] = [(StoreDamage.count &- 1, .changed), (nil, nil)]
        for (damages, failure) in cases {
            var piece = DumpPiece(damages: damages, DumpSlices())
            var found: DumpFailure?
            do throws(DumpFailure) {
                try piece.append([1, 2], connection)
                try piece.flush(connection)
            } catch {
                found = error
            }
            #expect(found == failure)
        }
        var received = [UInt8](repeating: 0, count: 16)
        #expect(recv(ends[1], &received, 16, Int32(MSG_DONTWAIT)) == 2)
    }

    /// An answer of a single request, which may hold bytes that were never stored, is not sent.
    @Test func anAnswerOutOfTheFileIsNotSent() throws {
        #expect(try Damaged().caches.send("mg a v t\r\n", to: "f") == "")
    }
}
