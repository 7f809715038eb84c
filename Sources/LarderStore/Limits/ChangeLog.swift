/// The keys that a session of a limited store has changed. A session has a log only after `recordChanges`.
struct ChangeLog {
    /// Keys beyond this size are only counted. The caller takes the changes at the end of each turn at the latest.
    static let bytesMax = 16 << 20
    /// Each key behind its length in two bytes, the lower one first.
    var keys: [UInt8] = []
    var dropped = 0
    var isPaused = false
}

extension Session {
    /// Begins to note the keys that this session stores, changes or deletes. Only a limited store notes them.
    package func recordChanges() {
        guard state.account != nil, slot.pointee.changeLog == nil else { return }
        slot.pointee.changeLog = Shared(allocating: ChangeLog())
    }

    func dropChangeLog() {
        guard let log = slot.pointee.changeLog else { return }
        slot.pointee.changeLog = nil
        log.deallocate()
    }

    /// Whether there are changes to take.
    package var hasChanges: Bool {
        guard let log = slot.pointee.changeLog else { return false }
        return !log.pointee.keys.isEmpty || log.pointee.dropped > 0
    }

    /// Stops or resumes the notes. They stop while changes of another server are carried out.
    package func pauseChanges(_ isPaused: Bool) { slot.pointee.changeLog?.pointee.isPaused = isPaused }

    /// Takes the keys that were changed since the last call.
    /// - Parameter keys: empty. The log uses its memory for the next changes.
    /// - Returns: the number of changes that were not noted, because the log was full.
    package func takeChanges(into keys: inout [UInt8]) -> Int {
        guard let log = slot.pointee.changeLog else { return 0 }
        swap(&keys, &log.pointee.keys)
        defer { log.pointee.dropped = 0 }
        return log.pointee.dropped
    }

    /// Notes a change of the item under a key.
    @inline(__always)
    func record(_ key: HashedKey) {
        if let log = slot.pointee.changeLog { record(key, in: log) }
    }

    @inline(never)
    private func record(_ key: HashedKey, in log: Shared<ChangeLog>) {
        guard !log.pointee.isPaused else { return }
        guard log.pointee.keys.count < ChangeLog.bytesMax else {
            log.pointee.dropped += 1
            return
        }
        log.pointee.keys.append(behindLength: UnsafeRawBufferPointer(start: key.bytes, count: key.length))
    }
}

extension [UInt8] {
    /// Appends a key behind its length, as a log of changes has it.
    package mutating func append(behindLength key: UnsafeRawBufferPointer) {
        append(UInt8(truncatingIfNeeded: key.count))
        append(UInt8(truncatingIfNeeded: key.count >> 8))
        append(contentsOf: key)
    }
}
