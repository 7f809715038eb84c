import Glibc
import Synchronization

/// Appends to the log on a thread of its own. Records that wait at the same time are appended together, so that one
/// call of the disk or the database makes them durable.
final class LogWriter: Sendable {
    private let applier: Applier
    private let queue = JobQueue()

    /// An append takes no further job when the contents of its records have reached this size.
    private static let bytesMax = 4 << 20

    init(_ applier: Applier) { self.applier = applier }

    /// Appends records, and completes with the id of the last one when the state file has it.
    func append(_ records: [UpdateRecord], _ completion: @escaping Applier.Completion) {
        queue.add(JobQueue.Job(records: records, completion: completion))
    }

    func stop() { queue.close() }

    func run() {
        while let jobs = queue.take(bytesMax: Self.bytesMax) {
            do throws(ReplicationError) {
                let records = jobs.flatMap(\.records)
                let point = applier.appliedPoint
                let appended = try applier.log.append(records, after: point)
                if appended.followsPoint { applier.hand(records, after: point) }
                var id = appended.id &- UInt64(records.count)
                for job in jobs {
                    id &+= UInt64(job.records.count)
                    applier.whenApplied(id, job.completion)
                }
            } catch {
                // The log may have them.
                applier.wakeup.wakeOwn()
                for job in jobs { job.completion(.failure(error)) }
            }
        }
    }
}

/// Jobs of a thread that sleeps while there are none.
private final class JobQueue: @unchecked Sendable {
    // SAFETY: `@unchecked` because the mutex guards the rest.
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var jobs: [Job] = []
    private var isClosed = false

    struct Job {
        var records: [UpdateRecord]
        var completion: Applier.Completion
        var bytes: Int { records.reduce(0) { $0 + $1.contents.count } }
    }

    init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    deinit {
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    func add(_ job: Job) {
        pthread_mutex_lock(&mutex)
        let isRefused = isClosed
        if !isRefused { jobs.append(job) }
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
        if isRefused { job.completion(.failure(.closed)) }
    }

    /// The jobs that wait, up to a size; nil when the queue was closed and is empty.
    func take(bytesMax: Int) -> [Job]? {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        while jobs.isEmpty {
            if isClosed { return nil }
            pthread_cond_wait(&condition, &mutex)
        }
        var bytes = 0
        var count = 0
        while count < jobs.count, bytes < bytesMax {
            bytes += jobs[count].bytes
            count += 1
        }
        defer { jobs.removeFirst(count) }
        return Array(jobs[..<count])
    }

    func close() {
        pthread_mutex_lock(&mutex)
        isClosed = true
        pthread_cond_signal(&condition)
        pthread_mutex_unlock(&mutex)
    }
}
