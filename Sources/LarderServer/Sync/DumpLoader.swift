import CLarderSystem
import Glibc
import LarderStore
import LarderWire

/// Fills a cache with the items of another server while clients are served: uWSGI's `sync=`.
///
/// A thread of its own asks the servers in their order. If none gives its items, the thread asks again later.
final class DumpLoader: Sendable {
    private let cache: ServedCache
    private let clock: ServerClock
    private let stop: StopSignal
    private let ownAddresses: [SocketAddress]
    private let wait: @Sendable (Int64) throws(DumpFailure) -> Void

    /// - Parameters:
    ///   - ownAddresses: of the server's listeners for the uwsgi protocol.
    ///   - wait: waits for milliseconds between two rounds, and throws `.stopped` to end the load; nil: until the time
    ///     is over or `stop` is sent.
    init(
        _ cache: ServedCache, _ clock: ServerClock, _ ownAddresses: [SocketAddress], _ stop: StopSignal,
        wait: (@Sendable (Int64) throws(DumpFailure) -> Void)? = nil
    ) {
        self.cache = cache
        self.clock = clock
        self.ownAddresses = ownAddresses
        self.stop = stop
        if let wait {
            self.wait = wait
        } else {
            self.wait = { milliseconds throws(DumpFailure) in try stop.pause(milliseconds) }
        }
        cache.store.beginLoad()
    }

    /// Asks until a server has given its items, or there is none to ask, or the server stops.
    func run() {
        defer { cache.store.endLoad() }
        do throws(DumpFailure) {
            while !cache.store.isReady { try stop.pause(50) }
            var places = cache.settings.copiedPlaces
            var backOff = DumpBackOff()
            var reported: [String] = []
            while !places.isEmpty {
                var failures: [String] = []
                if try !askAll(&places, &failures), !places.isEmpty {
                    if failures != reported { report(failures) }
                    reported = failures
                    try wait(backOff.nextMilliseconds())
                } else {
                    return
                }
            }
        } catch {}
    }

    private func report(_ failures: [String]) {
        StandardError.write(
            "larder: cache \"\(cache.name)\" has no items of another server yet, and asks again later: "
                + failures.joined(separator: "; "), .warning)
    }

    /// Asks each server once. Those that it makes no sense to ask again are removed.
    /// - Returns: whether the load has ended.
    private func askAll(
        _ places: inout [CacheSettings.Place], _ failures: inout [String]
    ) throws(DumpFailure) -> Bool {
        for place in places {
            do throws(DumpFailure) {
                if let refusal = try load(from: place) {
                    report(refusal, of: place)
                    places.removeAll { $0 == place }
                } else {
                    return true
                }
            } catch {
                switch error {
                case .stopped: throw error
                case .ownAddress: places.removeAll { $0 == place }
                default: failures.append("\(place): \(error.text)")
                }
            }
        }
        return false
    }

    // MARK: One server

    /// - Returns: why the dump is not taken; nil: the load has ended.
    private func load(from place: CacheSettings.Place) throws(DumpFailure) -> DumpRefusal? {
        let connection = try connect(to: place)
        let request = DumpPacket.request(cacheName: cache.name)
        try sendAll(request, connection)
        var loading = try DumpLoading(cache, clock)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: DumpLoading.pieceBytes, alignment: 16)
        defer { buffer.deallocate() }
        var pace = DumpPace()
        while !loading.isOver {
            let bytes = try connection.receive(into: buffer)
            try pace.note(bytes: bytes.count)
            do throws(DumpRefusal) {
                try loading.take(bytes)
            } catch {
                return error
            }
        }
        loading.finish(until: stop)
        StandardError.write("larder: cache \"\(cache.name)\" \(loading.summary) of \(place)")
        return nil
    }

    private func sendAll(_ bytes: [UInt8], _ connection: borrowing DumpConnection) throws(DumpFailure) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        defer { copy.deallocate() }
        copy.copyBytes(from: bytes)
        try connection.send(UnsafeRawBufferPointer(copy))
    }

    private func connect(to place: CacheSettings.Place) throws(DumpFailure) -> DumpConnection {
        var failure = DumpFailure.system(EADDRNOTAVAIL)
        for address in try addresses(of: place) {
            do throws(DumpFailure) {
                let connection = try DumpConnection.connected(to: address, stop)
                // A server's list may name the server itself, so that one list does for all.
                if isOwn(connection.fd) { throw .ownAddress }
                return connection
            } catch {
                if error == .stopped || error == .ownAddress { throw error }
                failure = error
            }
        }
        throw failure
    }

    private func addresses(of place: CacheSettings.Place) throws(DumpFailure) -> [SocketAddress] {
        switch place {
        case .unix(let path):
            guard let address = SocketAddress(unixPath: path) else { throw .system(ENAMETOOLONG) }
            return [address]
        case .tcp(let host, let port):
            do throws(StartupError) {
                return try Listener.resolve(host ?? "localhost", port: port)
            } catch {
                if case .unresolvedHost(_, _, let reason) = error { throw .unresolved(reason) }
                throw .system(EADDRNOTAVAIL)
            }
        }
    }

    /// Whether a connection leads to this server itself.
    private func isOwn(_ fd: Int32) -> Bool {
        guard let peer = SocketAddress.peer(of: fd) else { return false }
        if ownAddresses.contains(peer) { return true }
        guard let local = SocketAddress.local(of: fd), local.isSameHost(as: peer) else { return false }
        return ownAddresses.contains { $0.isWildcard && $0.port == peer.port }
    }

    private func report(_ refusal: DumpRefusal, of place: CacheSettings.Place) {
        let settings = cache.settings
        let reason =
            switch refusal {
            case .header: "its answer is no dump"
            case .geometry(let items, let blockBytes):
                "it has items=\(items) and blocksize=\(blockBytes), this one items=\(settings.items ?? 0) and "
                    + "blocksize=\(settings.blockBytes)"
            case .record(let slot):
                "its record \(slot) does not fit keysize=\(settings.keyBytesMax) and blocks=\(settings.blocks) of "
                    + "this one: both need the same"
            }
        StandardError.write("larder: cache \"\(cache.name)\" takes no items of \(place): \(reason)", .error)
    }
}

/// How long to wait behind each round in which no server gave its items.
struct DumpBackOff {
    private var milliseconds: Int64 = 1_000
    private static let millisecondsMax: Int64 = 60_000

    /// One second at first, then twice as long each time, at most a minute.
    mutating func nextMilliseconds() -> Int64 {
        defer { milliseconds = min(milliseconds * 2, Self.millisecondsMax) }
        return milliseconds
    }
}

/// The items of one dump on their way into a cache. Used by one thread.
struct DumpLoading: ~Copyable {
    /// What is received at once.
    static let pieceBytes = 64 << 10
    /// Keys of items that do not fit, for the log.
    private static let namesMax = 3
    private static let nameBytesMax = 250

    private let session: Session
    private let clock: ServerClock
    private let isInFile: Bool
    private let slices: DumpSlices
    private let began = larder_milliseconds(false)
    private var decoder: DumpDecoder
    /// Hashes of the keys that were loaded, where the file may hold others.
    private var loaded: Set<UInt64> = []
    private var counts = Counts()

    private struct Counts {
        var loaded = 0
        var expired = 0
        var changed = 0
        var unfit = 0
        var removed = 0
        var unfitNames: [String] = []
        /// The load ended early.
        var isOver = false
    }

    init(_ cache: ServedCache, _ clock: ServerClock, _ slices: DumpSlices = DumpSlices()) throws(DumpFailure) {
        self.slices = slices
        do throws(StoreError) {
            session = try cache.store.makeSession()
        } catch {
            throw .system(ENOMEM)
        }
        self.clock = clock
        isInFile = session.isInFile
        let settings = cache.settings
        decoder = DumpDecoder(
            settings.dumpLayout, valueLengthMax: settings.valueBytesMax,
            checksHashes: ["djb33x", "murmur2"].contains(settings.hashName))
    }

    /// Whether nothing more is to be read.
    var isOver: Bool { decoder.isComplete || counts.isOver }

    /// Takes bytes of the dump.
    mutating func take(_ bytes: UnsafeRawBufferPointer) throws(DumpRefusal) {
        session.repair()
        try Self.take(bytes, &decoder, session, isInFile, slices, &counts, &loaded, now: clock.now())
    }

    private static func take(
        _ bytes: UnsafeRawBufferPointer, _ decoder: inout DumpDecoder, _ session: borrowing Session, _ isInFile: Bool,
        _ slices: DumpSlices, _ counts: inout Counts, _ loaded: inout Set<UInt64>, now: Int64
    ) throws(DumpRefusal) {
        try decoder.take(bytes) { item in
            let expiry = SyncExpiry.milliseconds(Int64(clamping: item.expires), now: now)
            guard expiry > now else { return counts.expired += 1 }
            guard let key = item.key.baseAddress, let value = item.value else {
                return note(unfit: item.key, &counts)
            }
            let hashed = session.hashed(key, length: item.key.count)
            // A turn for each, because a client that writes may wait for the end of a turn.
            session.begin(now: now)
            let outcome = session.load(
                hashed, value: value.baseAddress ?? key, valueLength: value.count, clientFlags: item.clientFlags,
                expiry: expiry, uses: Int(clamping: item.hits), now: now)
            session.end()
            slices.note(items: 1, bytes: value.count)
            slices.restIfFull()
            switch outcome {
            case .loaded:
                counts.loaded += 1
                if isInFile { loaded.insert(hashed.hash) }
            case .changed: counts.changed += 1
            case .noRoom: note(unfit: item.key, &counts)
            case .over: counts.isOver = true
            }
        }
    }

    private static func note(unfit key: UnsafeRawBufferPointer, _ counts: inout Counts) {
        counts.unfit += 1
        guard counts.unfitNames.count < namesMax else { return }
        let name = UnsafeRawBufferPointer(rebasing: key.prefix(nameBytesMax)).bindMemory(to: UInt8.self)
        counts.unfitNames.append("\"\(LogText.escaped(name))\"" + (key.count > nameBytesMax ? "..." : ""))
    }

    /// The dump is complete: what the file held and the other server has not goes.
    mutating func finish(until stop: StopSignal) {
        guard isInFile, !counts.isOver else { return }
        var walk = ItemWalk()
        while !walk.isComplete, !stop.isSent {
            session.repair()
            session.begin(now: clock.now())
            repeat {
                let removed = session.removeUnloaded(&walk, loaded: loaded)
                counts.removed += removed
                slices.note(buckets: 1, items: removed)
            } while !walk.isComplete && !slices.isFull
            session.end()
            slices.rest()
        }
    }

    /// For the log: what has become of the items.
    var summary: String {
        var text = "has \(counts.loaded) items after \(larder_milliseconds(false) - began) ms"
        if counts.isOver { text += ", and takes no more, since it was cleared or changed too much meanwhile" }
        if counts.changed > 0 { text += "; \(counts.changed) were changed here meanwhile" }
        if counts.expired > 0 { text += "; \(counts.expired) have expired" }
        if counts.unfit > 0 {
            let more = counts.unfit - counts.unfitNames.count
            text += "; \(counts.unfit) do not fit: " + counts.unfitNames.joined(separator: ", ")
            if more > 0 { text += " and \(more) more" }
        }
        if counts.removed > 0 { text += "; \(counts.removed) of its file went" }
        return text
    }
}

extension CacheSettings {
    /// The layout of this cache's dump.
    var dumpLayout: DumpLayout {
        DumpLayout(
            items: items ?? 0, blockBytes: blockBytes, blocks: blocks, keyBytesMax: keyBytesMax, isBitmap: isBitmap)
    }
}

/// The loads of all caches that have `sync=`.
final class DumpLoads {
    private let stop: StopSignal?
    private var threads: [SystemThread] = []
    private var loaders: [DumpLoader] = []

    /// From now on each of these caches notes what its clients change. Before the first client.
    /// - Parameter hasItems: whether the caches have the items of the server before this one: then nothing is loaded.
    init(_ state: ServerState, _ listeners: [Listener], hasItems: Bool) throws(StartupError) {
        let caches = hasItems ? [] : state.caches.filter { !$0.settings.copiedPlaces.isEmpty }
        stop = caches.isEmpty ? nil : try StopSignal()
        guard let stop else { return }
        let own = listeners.filter { $0.bindingProtocol == .uwsgi }.compactMap(\.address)
        loaders = caches.map { DumpLoader($0, state.clock, own, stop) }
    }

    func start() throws(StartupError) {
        for loader in loaders { threads.append(try SystemThread(name: "larder-sync") { loader.run() }) }
    }

    /// Ends the loads that are under way, and waits for their threads. Call it once.
    func end() {
        stop?.send()
        for thread in threads { thread.join() }
    }
}
