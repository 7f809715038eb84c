import Glibc

/// Appends of several threads, of which one at a time writes all that wait.
final class GroupCommit: @unchecked Sendable {
    // SAFETY: `@unchecked` because the mutex guards the rest.
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    private var waiting: [Job] = []
    private var isCommitting = false

    private final class Job {
        let records: [UpdateRecord]
        var result: Result<UInt64, ReplicationError>?
        init(_ records: [UpdateRecord]) { self.records = records }
    }

    /// What goes into one transaction: a little more than this.
    private static let bytesMax = 4 << 20
    private static let recordsMax = 1024

    init() {
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    deinit {
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    /// Appends records, together with those of other threads.
    /// - Parameter commit: makes records durable and returns the last one's id. Called by one thread at a time.
    func append(
        _ records: [UpdateRecord], _ commit: ([UpdateRecord]) throws(ReplicationError) -> UInt64
    ) throws(ReplicationError) -> UInt64 {
        let job = Job(records)
        pthread_mutex_lock(&mutex)
        waiting.append(job)
        while true {
            if let result = job.result {
                pthread_mutex_unlock(&mutex)
                return try result.get()
            }
            guard !isCommitting else {
                pthread_cond_wait(&condition, &mutex)
                continue
            }
            isCommitting = true
            let jobs = takeJobs()
            pthread_mutex_unlock(&mutex)
            let results = Self.results(jobs.map(\.records), commit)
            pthread_mutex_lock(&mutex)
            for (job, result) in zip(jobs, results) { job.result = result }
            isCommitting = false
            pthread_cond_broadcast(&condition)
        }
    }

    private func takeJobs() -> [Job] {
        var bytes = 0
        var records = 0
        var count = 0
        while count < waiting.count, bytes < Self.bytesMax, records < Self.recordsMax {
            bytes += waiting[count].records.reduce(0) { $0 + $1.contents.count }
            records += waiting[count].records.count
            count += 1
        }
        defer { waiting.removeFirst(count) }
        return Array(waiting[..<count])
    }

    private static func results(
        _ jobs: [[UpdateRecord]], _ commit: ([UpdateRecord]) throws(ReplicationError) -> UInt64
    ) -> [Result<UInt64, ReplicationError>] {
        do throws(ReplicationError) {
            var id = try commit(jobs.flatMap { $0 }) &- UInt64(jobs.reduce(0) { $0 + $1.count })
            return jobs.map { records in
                id &+= UInt64(records.count)
                return .success(id)
            }
        } catch .updateTooLarge where jobs.count > 1 {
            // It is one job's, and nothing was written.
            return jobs.flatMap { results([$0], commit) }
        } catch {
            return jobs.map { _ in .failure(error) }
        }
    }
}
