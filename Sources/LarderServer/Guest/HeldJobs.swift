import Glibc

/// What a worker does while it is held: other threads hand it in, and end the waiting.
final class HeldJobs: @unchecked Sendable {
    // SAFETY: `@unchecked` because the mutex guards both.
    private var jobs: [Worker.Job] = []
    private var isOver = false
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()

    init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    deinit {
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    func put(_ job: @escaping Worker.Job) {
        change { jobs.append(job) }
    }

    func end() {
        change { isOver = true }
    }

    /// Does what is handed in, each in a turn of its own, until the end; in the worker's thread.
    func runAll(_ core: WorkerHandle) {
        while let job = next() {
            job(core)
            core.endTurn()
        }
    }

    private func change(_ body: () -> Void) {
        pthread_mutex_lock(&mutex)
        body()
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
    }

    private func next() -> Worker.Job? {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while jobs.isEmpty, !isOver { pthread_cond_wait(&condition, &mutex) }
        return jobs.isEmpty ? nil : jobs.removeFirst()
    }
}
