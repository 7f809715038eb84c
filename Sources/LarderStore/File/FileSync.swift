import Glibc

/// Writes a file's pages to the disk every so many seconds, on a thread of its own. A write to a page that has just been
/// written may wait for the file system: docs/store-on-disk.md. It is for a power failure; a process that is killed
/// loses nothing without it.
final class FileSync: @unchecked Sendable {
    // SAFETY: `@unchecked` because the mutex guards `isStopping`, and the rest never changes.
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var isStopping = false
    private let base: UnsafeMutableRawPointer
    private let bytes: Int
    private let seconds: Int
    private var thread = pthread_t()

    /// Nil for 0 seconds, or if there is no thread.
    init?(_ base: UnsafeMutableRawPointer, _ bytes: Int, seconds: Int) {
        guard seconds > 0 else { return nil }
        self.base = base
        self.bytes = bytes
        self.seconds = seconds
        pthread_mutex_init(&mutex, nil)
        // Not the wall clock: setting it back would delay the next sync.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&condition, &attributes)
        pthread_condattr_destroy(&attributes)
        let started = pthread_create(&thread, nil, runFileSync, Unmanaged.passUnretained(self).toOpaque())
        guard started == 0 else { return nil }
    }

    /// Ends the thread, after a last time. Call it once, before the mapping goes.
    func stop() {
        pthread_mutex_lock(&mutex)
        isStopping = true
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
        pthread_join(thread, nil)
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    fileprivate func run() {
        pthread_mutex_lock(&mutex)
        while !isStopping {
            var until = timespec()
            clock_gettime(CLOCK_MONOTONIC, &until)
            until.tv_sec += seconds
            if pthread_cond_timedwait(&condition, &mutex, &until) == ETIMEDOUT || isStopping {
                pthread_mutex_unlock(&mutex)
                // Blocks until it is written; an error is the disk's, and there is nobody to tell.
                _ = msync(base, bytes, MS_SYNC)
                pthread_mutex_lock(&mutex)
            }
        }
        pthread_mutex_unlock(&mutex)
    }
}

private func runFileSync(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    // SAFETY: the object joins this thread before it goes.
    Unmanaged<FileSync>.fromOpaque(context).takeUnretainedValue().run()
    return nil
}
