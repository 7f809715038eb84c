import CLarderArena
import Glibc

/// The kinds of locks of a store.
///
/// The rules of locks, waits and sections. A session is in a section while it is online: items that it finds stay where
/// they are until it goes offline. Debug builds check each row where it applies.
///
/// | what a thread does                        | locks it may hold meanwhile   | its session |
/// | ----------------------------------------- | ----------------------------- | ----------- |
/// | waits for `writing` of a limited store    | none                          | offline     |
/// | waits for `space`                         | writing                       | offline     |
/// | waits for the sections of others to end   | writing, space                | offline     |
/// | takes open slabs                          | writing, space                | either      |
/// | takes a bucket                            | writing, space, open slabs    | either      |
/// | takes `overflow` or `recency`             | writing, space, open slabs, bucket | either      |
/// | takes `sessions`                          | none                          | either      |
/// | goes online or offline                    | writing                       |             |
///
/// `larder_locks_allowed` in rules.c has the second column in numbers.
///
/// A thread is online in one store at most, and holds locks of one store at most. So no thread waits for a thread that
/// waits: a section ends without a wait for `writing`, `space` or another section. A thread that holds a short lock
/// (open slabs, bucket, overflow, recency, sessions) takes only short locks further down the table.
///
/// A wait for sections has a time limit; after it the write is refused. A reader's wait for a bucket ends in a miss. A
/// wait to lock a bucket of a file ends with the store emptied: only damage keeps a bucket locked (`BoundedWait`).
/// `writing`, `space` and the short locks have no time limit: their holders do a bounded amount of work.
struct StoreLocks: OptionSet {
    let rawValue: UInt32
    /// `LimitAccount.writing`.
    static let writing = StoreLocks(rawValue: 1 << 0)
    /// `ProcessState.spaceLock`.
    static let space = StoreLocks(rawValue: 1 << 1)
    /// `SessionSlot.openSlabsLock`, of any session.
    static let openSlabs = StoreLocks(rawValue: 1 << 2)
    /// A bucket of the index.
    static let bucket = StoreLocks(rawValue: 1 << 3)
    /// `ProcessState.overflowLock`.
    static let overflow = StoreLocks(rawValue: 1 << 4)
    /// `LimitAccount.recencyLock`.
    static let recency = StoreLocks(rawValue: 1 << 5)
    /// `ProcessState.sessionLock`.
    static let sessions = StoreLocks(rawValue: 1 << 6)
}

/// The checks of a debug build. An optimised build has none.
///
/// SAFETY: the holdings are the calling thread's own, and live as long as it.
extension StoreLocks {
    /// Before a lock is taken.
    /// - Parameters:
    ///   - store: the store's process state; nil: the store whose locks are held already.
    ///   - waits: whether the caller may wait for a thread that waits for sections to end.
    @inline(__always)
    func checkMayBeTaken(of store: Shared<ProcessState>?, waits: Bool = false) {
        #if DEBUG
            let isAllowed = larder_may_take(rawValue, store?.pointer, waits)
            assert(isAllowed, Self.broken(self, waits ? "is waited for" : "is taken"))
        #endif
    }

    @inline(__always)
    func noteTaken(of store: Shared<ProcessState>?) {
        #if DEBUG
            let isNew = larder_note_taken(rawValue, store?.pointer)
            assert(isNew, Self.broken(self, "is held already"))
        #endif
    }

    @inline(__always)
    func noteReleased(of store: Shared<ProcessState>?) {
        #if DEBUG
            let wasHeld = larder_note_released(rawValue, store?.pointer)
            assert(wasHeld, Self.broken(self, "is given back, but not held"))
        #endif
    }

    private static func broken(_ lock: StoreLocks, _ what: String) -> String {
        let holdings = larder_holdings_of_thread().pointee
        return
            "rule of locks: \(lock.rawValue) \(what); held are \(holdings.held), in a section: \(holdings.online != nil)"
    }
}

extension StoreState {
    @inline(__always)
    func checkMayTake(_ lock: StoreLocks, waits: Bool = false) { lock.checkMayBeTaken(of: process, waits: waits) }
    @inline(__always)
    func noteTaken(_ lock: StoreLocks) { lock.noteTaken(of: process) }
    @inline(__always)
    func noteReleased(_ lock: StoreLocks) { lock.noteReleased(of: process) }

    /// Before a wait for the sections of other sessions to end.
    @inline(__always)
    func checkMayAwaitSections() {
        #if DEBUG
            assert(
                larder_may_await_sections(),
                "a thread waits for sections while it is in a section, or holds open slabs or a bucket")
        #endif
    }

    @inline(__always)
    func noteOnline(_ session: Shared<SessionSlot>) {
        #if DEBUG
            let isAllowed = larder_note_online(session.pointer)
            assert(isAllowed, "a thread goes online in a second session, or holds a lock")
        #endif
    }

    @inline(__always)
    func noteOffline(_ session: Shared<SessionSlot>) {
        #if DEBUG
            let isAllowed = larder_note_offline(session.pointer)
            assert(isAllowed, "a session goes offline and holds a lock")
        #endif
    }

    /// A point where a session may go offline, even if it does not this time. Views of items end here.
    @inline(__always)
    func endViews(_ session: Shared<SessionSlot>) {
        #if DEBUG
            // Only its own thread writes the field. `&+=` would count as a change of the whole slot, of which other
            // threads read other fields: the thread sanitizer reports that.
            session.pointee.viewGeneration = session.pointee.viewGeneration &+ 1
        #endif
    }

    // MARK: Locks

    /// SAFETY: the word is lent with `&` for the length of the call.
    @safe @inline(__always)
    func lock(_ lock: StoreLocks, _ word: UnsafeMutablePointer<UInt32>) {
        checkMayTake(lock)
        spinLock(word)
        noteTaken(lock)
    }

    @safe @inline(__always)
    func unlock(_ lock: StoreLocks, _ word: UnsafeMutablePointer<UInt32>) {
        noteReleased(lock)
        spinUnlock(word)
    }

    @inline(__always)
    func lockOpenSlabs(_ session: Shared<SessionSlot>) { lock(.openSlabs, &session.pointee.openSlabsLock) }
    @inline(__always)
    func unlockOpenSlabs(_ session: Shared<SessionSlot>) { unlock(.openSlabs, &session.pointee.openSlabsLock) }

    /// Locks `writing`. The session must be offline.
    func lockWriting(_ account: Shared<LimitAccount>) {
        checkMayTake(.writing, waits: true)
        pthread_mutex_lock(&account.pointee.writing)
        noteTaken(.writing)
    }

    func tryLockWriting(_ account: Shared<LimitAccount>) -> Bool {
        checkMayTake(.writing)
        guard pthread_mutex_trylock(&account.pointee.writing) == 0 else { return false }
        noteTaken(.writing)
        return true
    }

    func unlockWriting(_ account: Shared<LimitAccount>) {
        noteReleased(.writing)
        pthread_mutex_unlock(&account.pointee.writing)
    }
}

/// Lets a test act as another thread while its own thread holds locks or is in a section.
package func actAsAnotherThread<Result>(_ body: () -> Result) -> Result {
    #if DEBUG
        let holdings = larder_holdings_of_thread().unsafelyUnwrapped
        let own = holdings.pointee
        holdings.pointee = larder_thread_holdings()
        defer { holdings.pointee = own }
    #endif
    return body()
}

/// A wait for another thread, in steps and with a time limit.
struct BoundedWait {
    private var step: UInt32 = 0
    private var endMilliseconds: Int64 = 0

    enum Aim { case sectionsEnd, bucketIsFree }

    /// Waits for a moment. False if the wait has taken too long, or the store is about to be emptied.
    @inline(__always)
    mutating func goesOn(until aim: Aim, _ state: StoreState) -> Bool {
        larder_wait_step(step)
        step &+= 1
        if step & 0xff != 0 { return true }
        // Not through `self`: its parts are to stay in registers.
        endMilliseconds = Self.checkTime(endMilliseconds, aim, state)
        return endMilliseconds >= 0
    }

    /// - Returns: the end of the wait, or -1 if the time is over.
    @inline(never)
    private static func checkTime(_ endMilliseconds: Int64, _ aim: Aim, _ state: StoreState) -> Int64 {
        guard !state.isCondemned else { return -1 }
        let sectionsMax = state.process.pointee.configuration.waitMillisecondsMax
        // A bucket is locked for microseconds, except when a thread waits for the disk.
        let millisecondsMax = aim == .sectionsEnd ? sectionsMax : sectionsMax * 15
        let now = monotonicMilliseconds()
        if endMilliseconds == 0 { return now + millisecondsMax }
        return now < endMilliseconds ? endMilliseconds : -1
    }
}

/// In a debug build: the session's generation when a view of an item was made.
@usableFromInline
struct ViewGuard {
    #if DEBUG
        private let generation: UnsafePointer<UInt64>?
        private let value: UInt64

        /// For a view that needs no section: a lock protects it, or its memory never changes.
        init() {
            generation = nil
            value = 0
        }

        init(_ session: Shared<SessionSlot>) {
            // SAFETY: slots are not freed while their store lives, and views do not outlive their session.
            let offset = MemoryLayout<SessionSlot>.offset(of: \.viewGeneration).unsafelyUnwrapped
            generation = (UnsafeRawPointer(session.pointer) + offset).assumingMemoryBound(to: UInt64.self)
            value = session.pointee.viewGeneration
        }

        @usableFromInline
        func check() {
            guard let generation, generation.pointee != value else { return }
            // Debug builds only. Input cannot cause this: a caller has kept a view for too long.
            assertionFailure("an item is looked at after its session went offline, or may have")
        }
    #else
        @inline(__always)
        init() {}
        @inline(__always)
        init(_ session: Shared<SessionSlot>) {}
        @inlinable @inline(__always)
        func check() {}
    #endif
}
