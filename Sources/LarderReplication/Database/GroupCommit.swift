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
        let point: UpdatePoint
        var result: Result<AppendedUpdates, ReplicationError>?

        init(_ records: [UpdateRecord], after point: UpdatePoint) {
            self.records = records
            self.point = point
        }
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

    /// Makes records durable. Called by one thread at a time.
    typealias Commit = ([UpdateRecord], _ point: UpdatePoint) throws(ReplicationError) -> AppendedUpdates

    /// Appends records, together with those of other threads.
    func append(
        _ records: [UpdateRecord], after point: UpdatePoint, _ commit: Commit
    ) throws(ReplicationError) -> AppendedUpdates {
        let job = Job(records, after: point)
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
            let results = Self.results(jobs, commit)
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
        _ jobs: [Job], _ commit: Commit
    ) -> [Result<AppendedUpdates, ReplicationError>] {
        do throws(ReplicationError) {
            let point = jobs.first?.point ?? .start
            let appended = try commit(jobs.flatMap(\.records), point)
            var id = appended.id &- UInt64(jobs.reduce(0) { $0 + $1.records.count })
            // The other jobs' records follow those of the first one.
            var followsPoint = appended.followsPoint
            return jobs.map { job in
                id &+= UInt64(job.records.count)
                defer { followsPoint = false }
                return .success(AppendedUpdates(id: id, followsPoint: followsPoint))
            }
        } catch .updateTooLarge where jobs.count > 1 {
            // It is one job's, and nothing was written.
            return jobs.flatMap { results([$0], commit) }
        } catch {
            return jobs.map { _ in .failure(error) }
        }
    }
}
