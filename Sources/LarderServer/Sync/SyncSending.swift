import LarderEventLoop
import LarderStore
import LarderWire

extension WorkerHandle {
    /// Sends the deletes of some flushed keys. A timer sends the next ones after a pause.
    func sendFlushedKeys() {
        guard !pointee.context.flushedKeys.isEmpty else { return }
        beginTurn()
        pointee.context.sendFlushedKeys()
        guard !pointee.context.flushedKeys.isEmpty else { return }
        if pointee.flushTimer == nil {
            pointee.flushTimer = Timer(on: pointee.loop.takeUnretainedValue()) { [self] in sendFlushedKeys() }
        }
        pointee.flushTimer?.start(afterMilliseconds: FlushedKeys.pauseMilliseconds)
    }
}

/// Keys that were flushed. A server that is no Larder gets a delete for each of them.
struct FlushedKeys {
    let cache: Int
    /// Each key follows its length in two bytes, as in the store's log of changes.
    let keys: [UInt8]
    var position = 0

    /// The size of `keys` for one flush. Further keys are only counted.
    static let bytesMax = 64 << 20
    /// Keys between two pauses. The system's buffer for a uWSGI holds about 200 datagrams.
    static let countMax = 64
    static let pauseMilliseconds = 5
}

extension WorkerContext {
    /// Sends the changes of the present cache to other servers. Items of the cache that were found before stay valid.
    @inline(never)
    mutating func sendChanges() {
        guard session.hasChanges, let sync = state.caches[cacheNumber].sync else { return }
        let now = self.now
        let dropped = session.takeChanges(into: &changedKeys)
        if dropped > 0 { sync.count(.dropped, dropped) }
        Self.visit(changedKeys, from: 0, countMax: Int.max, session) { key, session in
            sync.sendState(of: key, session, now: now)
        }
        let capacityMax = 64 << 10
        changedKeys.removeAll(keepingCapacity: changedKeys.capacity <= capacityMax)
    }

    /// Drops every item, here and on other servers.
    /// - Parameter time: absolute milliseconds; nil: now.
    mutating func flush(atMilliseconds time: Int64?) {
        guard sendsChanges, let sync = state.caches[cacheNumber].sync, !sync.nodes.isEmpty else {
            if let time { session.flush(atMilliseconds: time) } else { session.flush() }
            return
        }
        sendChanges()
        if let time {
            session.flush(atMilliseconds: time)
        } else {
            collectKeys(sync)
            session.flush()
        }
        sync.sendClear(atMilliseconds: time ?? 0)
        if !flushedKeys.isEmpty { waker?.wake() }
    }

    /// Notes all keys of the cache, if a node is no Larder and so does not understand a clear.
    private mutating func collectKeys(_ sync: CacheSync) {
        guard sync.nodes.contains(where: { !$0.isLarder(now: now) }) else { return }
        var keys: [UInt8] = []
        var dropped = 0
        withUnsafeTemporaryAllocation(of: Item.self, capacity: ItemWalk.itemsMax) { items in
            guard let items = items.baseAddress else { return }
            var walk = ItemWalk()
            while !walk.isComplete {
                let count = session.nextItems(&walk, into: items)
                for place in 0..<count {
                    guard keys.count < FlushedKeys.bytesMax else {
                        dropped += 1
                        continue
                    }
                    let item = items[place]
                    keys.append(behindLength: UnsafeRawBufferPointer(start: item.key, count: item.keyLength))
                }
            }
        }
        if dropped > 0 { sync.count(.dropped, dropped) }
        if !keys.isEmpty { flushedKeys.append(FlushedKeys(cache: cacheNumber, keys: keys)) }
    }

    /// Sends the deletes of the next 64 flushed keys.
    mutating func sendFlushedKeys() {
        guard var flushed = flushedKeys.first else { return }
        let now = self.now
        let current = cacheNumber
        select(flushed.cache)
        if let sync = state.caches[flushed.cache].sync {
            flushed.position = Self.visit(
                flushed.keys, from: flushed.position, countMax: FlushedKeys.countMax, session
            ) { key, session in
                sync.sendDelete(ofFlushed: key, session, now: now)
            }
        }
        select(current)
        if flushed.position < flushed.keys.count {
            flushedKeys[0].position = flushed.position
        } else {
            flushedKeys.removeFirst()
        }
    }

    /// Calls `body` with the keys of a list, `countMax` at most.
    /// - Returns: the position of the next key.
    @discardableResult
    private static func visit(
        _ keys: [UInt8], from start: Int, countMax: Int, _ session: borrowing Session,
        _ body: (HashedKey, borrowing Session) -> Void
    ) -> Int {
        var position = start
        var count = 0
        keys.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            while position < bytes.count, count < countMax {
                let length = Int(bytes[position]) | Int(bytes[position + 1]) << 8
                // SAFETY: each length is followed by so many bytes: see `FlushedKeys` and the store's log of changes.
                body(session.hashed(base + position + 2, length: length), session)
                position += 2 + length
                count += 1
            }
        }
        return position
    }

    /// Lets the session of a cache with nodes note its changes. Called once, before the first turn.
    static func recordChanges(_ cache: ServedCache, _ session: borrowing Session) -> Bool {
        guard let sync = cache.sync, !sync.nodes.isEmpty else { return false }
        session.recordChanges()
        return true
    }
}
