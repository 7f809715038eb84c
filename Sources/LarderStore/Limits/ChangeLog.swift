/// The keys that a session of a limited store has changed, for whoever tells others of it. There is none unless somebody
/// does.
struct ChangeLog {
    /// To be taken after each turn or before; keys beyond it are only counted.
    static let bytesMax = 16 << 20
    /// Each key behind its length in one byte.
    var keys: [UInt8] = []
    var dropped = 0
    var isPaused = false
}

extension Session {
    /// Begins to note the keys that this session stores, changes or deletes. Only a limited store notes them.
    package func recordChanges() {
        guard state.bounds != nil, slot.pointee.changeLog == nil else { return }
        slot.pointee.changeLog = Shared(allocating: ChangeLog())
    }

    func dropChangeLog() {
        guard let log = slot.pointee.changeLog else { return }
        slot.pointee.changeLog = nil
        log.deallocate()
    }

    /// Whether there are changes to be taken.
    package var hasChanges: Bool {
        guard let log = slot.pointee.changeLog else { return false }
        return !log.pointee.keys.isEmpty || log.pointee.dropped > 0
    }

    /// Whether changes are noted now. They are not while what another server tells is carried out.
    package func pauseChanges(_ isPaused: Bool) { slot.pointee.changeLog?.pointee.isPaused = isPaused }

    /// What was changed since the last call, and how many more changes there were than are noted.
    /// - Parameter keys: empty. The next changes are noted in its memory.
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
        log.pointee.keys.append(UInt8(truncatingIfNeeded: key.length))
        log.pointee.keys.append(contentsOf: UnsafeRawBufferPointer(start: key.bytes, count: key.length))
    }
}
