import CLarderSystem
import Glibc

/// A lock with a condition. Threads wait on it until another thread signals or a deadline comes.
final class Monitor: @unchecked Sendable {
    // SAFETY: `@unchecked` because the mutex and the condition are made to be shared; they never move while the object
    // lives.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        mutex.initialize(to: pthread_mutex_t())
        condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        // A change of the wall clock must not move a deadline.
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    func lock() { pthread_mutex_lock(mutex) }
    func unlock() { pthread_mutex_unlock(mutex) }
    func signalAll() { pthread_cond_broadcast(condition) }

    /// Waits for a signal, with the lock released meanwhile.
    func wait() { pthread_cond_wait(condition, mutex) }

    /// As `wait`. False if the deadline, in milliseconds of the monotonic clock, came first.
    func wait(untilMilliseconds deadline: Int64) -> Bool {
        var time = timespec()
        time.tv_sec = Int(deadline / 1000)
        time.tv_nsec = Int(deadline % 1000) * 1_000_000
        return pthread_cond_timedwait(condition, mutex, &time) != ETIMEDOUT
    }

    func withLock<Result>(_ body: () -> Result) -> Result {
        lock()
        defer { unlock() }
        return body()
    }
}
