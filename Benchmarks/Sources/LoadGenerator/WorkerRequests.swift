import Glibc

/// Making and sending batches.
///
/// SAFETY: `output` has room for a batch, `requests` and `keys` of a connection as well; see `Worker` and
/// `Connection`.
extension Worker {
    /// Sends what the connection has to send now, if anything.
    @inline(__always)
    mutating func sendNext(_ connection: UnsafeMutablePointer<Connection>) {
        var count = min(options.pipeline, connection.pointee.requestsLeft)
        if options.reconnectInterval > 0 {
            count = min(count, options.reconnectInterval &- connection.pointee.requestsSinceOpened)
        }
        if isOpenLoop {
            count = min(count, connection.pointee.dueCount)
            guard count > 0 else { return }
        }
        sendBatch(connection, count)
    }

    /// Open loop: hands the requests that are due to their connections; returns how long until the next.
    @inline(__always)
    mutating func sendDue() -> Int64 {
        let now = clock.now()
        while schedule.due <= now && fault == nil {
            let connection = connections + schedule.connection
            if connection.pointee.requestsLeft > connection.pointee.dueCount {
                connection.pointee.dueCount &+= 1
                if connection.pointee.isIdle {
                    totals.lateness.record(now &- schedule.due)
                    sendNext(connection)
                }
            }
            schedule.advance()
        }
        return Int64(truncatingIfNeeded: schedule.due &- min(now, schedule.due))
    }

    private mutating func sendBatch(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        var cursor = output
        var keyCount = 0
        for index in 0..<count {
            let isSet = connection.pointee.setsInTurn < options.setRatio
            if isSet {
                cursor = writeSet(connection, opaque: index, at: cursor)
                connection.pointee.requests[index] = PendingRequest(kind: .set)
                connection.pointee.setsInTurn &+= 1
            } else {
                let keys = keysOfNextGet(connection)
                for offset in keyCount..<keyCount &+ keys {
                    connection.pointee.keys[offset] = connection.pointee.gets.next(&connection.pointee.random)
                }
                cursor = writer.writeGet(
                    keys: connection.pointee.keys + keyCount, count: keys, firstOpaque: keyCount,
                    opaque: index,
                    at: cursor)
                keyCount &+= keys
                let isQuiet = keys > 1 && options.dialect != .text
                connection.pointee.requests[index] = PendingRequest(
                    kind: isQuiet ? .quietGets : .get, keyCount: Int32(truncatingIfNeeded: keys))
                connection.pointee.getsInTurn &+= keys
            }
            if connection.pointee.setsInTurn >= options.setRatio
                && connection.pointee.getsInTurn >= options.getRatio
            {
                connection.pointee.setsInTurn = 0
                connection.pointee.getsInTurn = 0
            }
        }
        noteTimes(connection, count)
        connection.pointee.requestsLeft &-= count
        connection.pointee.requestsSinceOpened &+= count
        connection.pointee.requestCount = count
        connection.pointee.answered = 0
        connection.pointee.keysSeen = 0
        connection.pointee.keysOfAnswer = Int(connection.pointee.requests[0].keyCount)
        send(connection, cursor - output)
    }

    /// From when on the latency of a batch counts: from now, in an open loop from when each request was due.
    @inline(__always)
    private mutating func noteTimes(_ connection: UnsafeMutablePointer<Connection>, _ count: Int) {
        if isOpenLoop {
            let number = connection - connections
            for index in 0..<count {
                connection.pointee.requests[index].due = schedule.time(
                    of: number, request: connection.pointee.sentCount &+ index)
            }
            connection.pointee.sentCount &+= count
            connection.pointee.dueCount &-= count
        } else {
            // A connection that was made for it is part of a request.
            let openedAt = connection.pointee.openedAt
            connection.pointee.sentAt = openedAt == 0 ? clock.now() : openedAt
            connection.pointee.openedAt = 0
        }
    }

    /// As in memtier, a get has no more keys than the ratio has gets in a row.
    @inline(__always)
    private func keysOfNextGet(_ connection: UnsafeMutablePointer<Connection>) -> Int {
        min(options.keysPerGet, options.getRatio &- connection.pointee.getsInTurn)
    }

    @inline(__always)
    private func writeSet(
        _ connection: UnsafeMutablePointer<Connection>, opaque: Int, at cursor: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        let key = connection.pointee.sets.next(&connection.pointee.random)
        let length = sizes.next(key: key, &connection.pointee.random)
        var expiry = 0
        if let range = options.expiry {
            expiry = range.lowerBound + Int(connection.pointee.random.next(below: UInt64(range.count)))
        }
        return writer.writeSet(key: key, length: length, expiry: expiry, opaque: opaque, at: cursor)
    }
}
