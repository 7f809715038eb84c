import Glibc

/// Passes "done", or the reason why not, from a thread to another that waits for it.
final class Readiness: @unchecked Sendable {
    // SAFETY: `@unchecked` because the condition guards the outcome.
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var outcome: StartupError??

    init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }
    deinit {
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    func succeed() { set(.some(nil)) }
    func fail(_ error: StartupError) { set(.some(error)) }

    private func set(_ outcome: StartupError??) {
        pthread_mutex_lock(&mutex)
        self.outcome = outcome
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
    }

    func wait() -> StartupError? {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while outcome == nil { pthread_cond_wait(&condition, &mutex) }
        return outcome ?? nil
    }
}
