import Glibc
import LarderStore
import LarderWire
import Synchronization
import Testing

@testable import LarderServer

/// How much a dump's thread does between two rests, in buckets, items and bytes, and that clients are served in each
/// rest.
@Suite struct DumpSlicesTests {
    private static let itemCount = 3000
    private static let longestValue = 150_000
    private static let shape = "items=4000,blocksize=512,blocks=40000,bitmap=1,keysize=300"

    @Test(arguments: ["", ",purge_lru=1"]) func aDumpIsGivenInSlices(mode: String) throws {
        let side = try DumpSide(Self.shape + mode)
        let lengths = fill(side)
        let dump = try side.dump()
        #expect(dump.count > 4000 * (88 + 300) + 40_000 * 512)
        // Each rest had a client that stored a value.
        #expect(side.writes == side.works.count)

        let counting = side.works.filter { $0.buckets > 0 }
        let others = side.works.filter { $0.buckets == 0 }
        // A bucket is not divided.
        for work in counting {
            #expect(work.buckets <= 16 && work.items < 64 + ItemWalk.itemsMax && work.bytes == 0 && work.steps == 0)
        }
        for work in others { #expect(work.items <= 64 && work.bytes <= 64 << 10 && work.steps <= 2048) }
        // All work was noted: counting, then one lookup for each piece of a value, and all bytes.
        #expect(counting.reduce(0) { $0 + $1.items } == lengths.count)
        #expect(others.reduce(0) { $0 + $1.items } >= lengths.filter { $0 > 0 }.count)
        #expect(others.reduce(0) { $0 + $1.bytes } == dump.count)
        // Each item is chained, and compared with another one where the order of use counts.
        #expect(others.reduce(0) { $0 + $1.steps } >= lengths.count * (mode.isEmpty ? 1 : 2) - 1)
    }

    @Test func aDumpIsLoadedInSlices() throws {
        let giver = try DumpSide(Self.shape)
        let lengths = fill(giver)
        let dump = try giver.dump()

        let taker = try DumpSide(Self.shape)
        taker.cache.store.beginLoad()
        defer { taker.cache.store.endLoad() }
        let slices = taker.slices()
        var loading = try DumpLoading(taker.cache, taker.server.state.clock, slices)
        for start in stride(from: 0, to: dump.count, by: DumpLoading.pieceBytes) {
            let piece = Array(dump[start..<min(dump.count, start + DumpLoading.pieceBytes)])
            let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: piece.count, alignment: 1)
            defer { bytes.deallocate() }
            bytes.copyBytes(from: piece)
            try loading.take(UnsafeRawBufferPointer(bytes))
        }
        let isOver = loading.isOver
        #expect(isOver)
        slices.rest()

        #expect(taker.writes == taker.works.count && taker.works.count > Self.itemCount / 64)
        for work in taker.works {
            #expect(work.items <= 64 && work.bytes < (64 << 10) + Self.longestValue)
            // A slice of several values ends with the one that fills it.
            #expect(work.bytes < 128 << 10 || work.items < 64)
        }
        #expect(taker.works.reduce(0) { $0 + $1.items } == lengths.count)
        #expect(taker.works.reduce(0) { $0 + $1.bytes } == lengths.reduce(0, +))
    }

    /// Keys of all lengths, which fill several blocks.
    @Test func keysAreKeptInBlocks() {
        var kept = DumpKeys()
        let keys = (0..<300).map { number in
            [UInt8](repeating: UInt8(number % 256), count: number % 3 == 0 ? 65_535 - number : 1 + number * 11)
        }
        let places = keys.map { key in key.withUnsafeBytes { kept.add($0) } }
        for (key, place) in zip(keys, places) { #expect(kept.withBytes(of: place) { Array($0) } == key) }
    }

    /// Values of 0 to 3,000 bytes, a few that need several pieces, and the one that the client changes.
    /// - Returns: the lengths of all values.
    private func fill(_ side: DumpSide) -> [Int] {
        var lengths = (0..<Self.itemCount).map { $0 % 500 == 7 ? Self.longestValue : $0 * 37 % 3000 }
        for (number, length) in lengths.enumerated() {
            let key = Array("key-\(number)-".utf8) + [UInt8](repeating: 120, count: number % 250)
            #expect(side.set(key, [UInt8](repeating: UInt8(number % 251), count: length)))
        }
        #expect(side.set(DumpSide.clientKey, DumpSide.clientValue))
        lengths.append(DumpSide.clientValue.count)
        return lengths
    }
}

/// A cache, a dump of it, and a client on the dump's own thread. A debug build checks the rules of locks: it stops if the
/// client begins a turn while the dump is in a section or holds a lock.
private final class DumpSide {
    static let clientKey = Array("client".utf8)
    static let clientValue: [UInt8] = [1, 2, 3]

    let server: InProcessServer
    let cache: ServedCache
    private let client: Session
    private(set) var works: [DumpSlices.Work] = []
    /// How many values the client has stored in rests.
    private(set) var writes = 0

    init(_ shape: String) throws {
        guard case .serve(let settings, _) = parseCommandLine(["--cache", "name=x,\(shape)"]) else {
            throw StoppedAtStart()
        }
        let server = try InProcessServer(settings: settings)
        let cache = try #require(server.state.caches.first { $0.name == "x" })
        (self.server, self.cache) = (server, cache)
        client = try cache.store.makeSession()
    }
    struct StoppedAtStart: Error {}

    /// Slices in whose rests the client stores a value.
    func slices() -> DumpSlices {
        DumpSlices { [self] work in
            works.append(work)
            if set(Self.clientKey, Self.clientValue) { writes += 1 }
        }
    }

    func set(_ key: [UInt8], _ value: [UInt8]) -> Bool {
        let now = server.state.clock.now()
        client.begin(now: now)
        defer { client.end() }
        return key.withUnsafeBytes { key in
            value.withUnsafeBytes { value in
                guard let start = key.baseAddress else { return false }
                let hashed = client.hashed(start, length: key.count)
                return client.store(
                    .set, hashed, value: value.baseAddress ?? start, valueLength: value.count, clientFlags: 0,
                    expiry: Int64.max, now: now
                ).outcome == .stored
            }
        }
    }

    /// The bytes of a dump.
    func dump() throws -> [UInt8] {
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends) == 0)
        try #require(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0)
        let reader = Reader(ends[1])
        let thread = try SystemThread(name: "test-reader") { reader.readAll() }
        let given = Result { try give(to: ends[0]) }
        thread.join()
        close(ends[1])
        try given.get()
        return reader.bytes.withLock { $0 }
    }

    /// Closes the socket at the end.
    private func give(to fd: Int32) throws {
        let stop = try StopSignal()
        let connection = DumpConnection(owning: fd, stop)
        let session = try cache.store.makeSession()
        session.beginSnapshot()
        defer { session.endSnapshot() }
        var dump = DumpWriting(cache.settings, isInFile: false, itemsExpected: 10, slices())
        try dump.collect(session, server.state.clock, until: stop)
        try dump.write(session, server.state.clock, to: connection)
    }

    private final class Reader: Sendable {
        let bytes = Mutex<[UInt8]>([])
        private let fd: Int32

        init(_ fd: Int32) { self.fd = fd }

        func readAll() {
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(fd, &piece, piece.count)
                guard count > 0 else { return }
                bytes.withLock { $0 += piece[..<count] }
            }
        }
    }
}
