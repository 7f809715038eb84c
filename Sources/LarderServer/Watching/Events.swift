import LarderStore
import LarderWire

/// The lines that watchers get, in memcached's words. Only called while somebody watches: who calls
/// asks `context.watched` first.
extension WorkerContext {
    /// Where a lookup came to.
    enum LookupStatus: String {
        case notFound = "not_found"
        case found, flushed, expired
    }

    /// `type=item_get`
    mutating func logLookup(_ key: HashedKey, _ item: Item?, isDead: Bool = false, _ connection: Int32) {
        guard watched.contains(.fetchers) else { return }
        let status: LookupStatus = isDead ? .expired : item == nil ? .notFound : .found
        let size = status == .found ? item?.valueLength ?? 0 : 0
        log(.fetchers) { line in
            line += "type=item_get key=".utf8
            line.appendKey(key.bytes, key.length)
            line += " status=\(status.rawValue) clsid=\(status == .found ? 1 : 0) cfd=\(connection) size=\(size)".utf8
        }
    }

    /// The lookup that a write begins with. Returns the length of the value that it found.
    mutating func logLookup(_ key: HashedKey, _ connection: Int32) -> Int? {
        let found = session.find(key, now: now)
        logLookup(key, found, connection)
        return found?.valueLength
    }

    /// `type=item_store`
    mutating func logStore(
        _ key: HashedKey, _ request: Request, _ outcome: StoreOutcome, _ connection: Int32
    ) {
        logEvictions()
        guard watched.contains(.mutations) else { return }
        // As memcached's, 32 bits without a sign: one that is past shows as a large one.
        let expiry = Execute.expiry(ofSeconds: request.exptime, now: now)
        let ttl = expiry == Int64.max ? 0 : UInt32(truncatingIfNeeded: (expiry &- now) / 1000)
        let hasItem = outcome != .tooLarge && outcome != .noMemory
        var size = request.valueLength
        let mode = request.storeMode
        if outcome == .stored, mode == .append || mode == .prepend {
            size = session.find(key, now: now)?.valueLength ?? size
        }
        log(.mutations) { line in
            line += "type=item_store key=".utf8
            line.appendKey(key.bytes, key.length)
            line += " status=\(Self.word(outcome)) cmd=\(Self.word(mode)) ttl=\(hasItem ? ttl : 0)".utf8
            line += " clsid=\(hasItem ? 1 : 0) cfd=\(connection) size=\(hasItem ? size : 0)".utf8
        }
    }

    private static func word(_ outcome: StoreOutcome) -> String {
        switch outcome {
        case .stored: "stored"
        case .notStored: "not_stored"
        case .exists: "exists"
        case .notFound: "not_found"
        case .tooLarge: "too_large"
        case .noMemory: "no_memory"
        }
    }

    private static func word(_ mode: StoreMode) -> String {
        switch mode {
        case .set: "set"
        case .add: "add"
        case .replace: "replace"
        case .append: "append"
        case .prepend: "prepend"
        case .compareAndSwap: "cas"
        }
    }

    /// `type=deleted`
    mutating func logDeletion(_ key: HashedKey, size: Int, command: String) {
        guard watched.contains(.deletions) else { return }
        log(.deletions) { line in
            line += "type=deleted key=".utf8
            line.appendKey(key.bytes, key.length)
            line += " cmd=\(command) clsid=1 size=\(size)".utf8
        }
    }

    /// `type=eviction`, for each item that the session had to drop since it was last asked.
    mutating func logEvictions() {
        guard watched.contains(.evictions) else { return }
        let (evicted, dropped) = takeEvictions()
        log.addDropped(dropped)
        for item in evicted {
            let ttl = item.expiry == Int64.max ? -1 : (item.expiry - now) / 1000
            log(.evictions) { line in
                line += "type=eviction key=".utf8
                item.key.withUnsafeBytes { key in
                    if let start = key.baseAddress { line.appendKey(start, key.count) }
                }
                line += " fetch=\(item.wasFetched ? "yes" : "no") ttl=\(ttl) la=\(item.idleSeconds)".utf8
                line += " clsid=1 size=\(item.valueLength)".utf8
            }
        }
    }

    /// `type=conn_new`
    mutating func logArrival(of fd: Int32) {
        guard watched.contains(.connections) else { return }
        let peer = Self.peer(of: fd)
        log(.connections) { $0 += "type=conn_new \(peer) cfd=\(fd)".utf8 }
    }

    /// `type=conn_close`; called while the descriptor is still open.
    mutating func logDeparture(of fd: Int32, _ reason: CloseReason) {
        guard watched.contains(.connections) else { return }
        let peer = Self.peer(of: fd)
        log(.connections) { $0 += "type=conn_close \(peer) reason=\(reason.rawValue) cfd=\(fd)".utf8 }
    }

    private static func peer(of fd: Int32) -> String {
        guard let address = SocketAddress.peer(of: fd), let port = address.port else {
            return "rip=unix rport=0 transport=local"
        }
        return "rip=\(address.host) rport=\(port) transport=tcp"
    }

    // MARK: The log

    private mutating func log(_ streams: WatchedStreams, _ body: (inout [UInt8]) -> Void) {
        log.add(streams, id: state.watchers.nextID(), now: now, body)
        if log.byteCount >= state.settings.workerLogBytes { deliverLog() }
    }

    /// Hands over what was logged.
    mutating func deliverLog() {
        state.watchers.deliver(log)
        log.removeAll()
    }

    /// Looks up what is watched.
    mutating func noteWatchers() {
        watchedBits = server._withUnsafeGuaranteedRef { $0.watchers.bits }
        watched = WatchedStreams(rawValue: watchedBits)
        isWatched = watchedBits != 0
        noteObservation()
        recordEvictions(watched.contains(.evictions))
    }

    /// At the end of a turn: what is left to tell, and telling it.
    mutating func finishLog() {
        logEvictions()
        if !log.isEmpty { deliverLog() }
    }
}

/// Why a client's connection ends.
enum CloseReason: String {
    case error, normal
    case idleTimeout = "idle_timeout"
    case shutdown
}

extension [UInt8] {
    fileprivate mutating func appendKey(_ key: UnsafeRawPointer, _ length: Int) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: KeyText.lengthMax) { text in
            guard let start = text.baseAddress else { return }
            append(contentsOf: text[..<KeyText.writePercentEncoded(key, length, at: start)])
        }
    }
}
