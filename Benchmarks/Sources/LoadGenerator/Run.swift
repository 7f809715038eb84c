import CBenchSystem
import Glibc
import Synchronization

/// A finished run.
struct RunResult {
    var totals: Totals
    var seconds: Double
}

/// Runs the load that `options` describe on `options.threads` threads.
func runLoad(_ options: Options, values: ValueSource) throws(BenchError) -> RunResult {
    // A few more for the terminal, epoll and the JSON file.
    _ = bench_raise_descriptor_limit(UInt64(options.connectionsInAll) + 64)
    let run = RunState()
    let workers = (0..<options.threads).map { _ in WorkerProgress() }
    let threads = workers.enumerated().map { number, progress in
        SystemThread { work(options, values, number: number, run, progress) }
    }
    while run.connected.load(ordering: .acquiring) < options.threads && !run.isFailed { usleep(200) }
    let start = bench_monotonic_nanoseconds()
    run.start.store(start, ordering: .releasing)
    showProgress(options, run, workers, start: start)
    for thread in threads { thread.join() }

    if let message = run.failureMessage { throw BenchError(message: message) }
    var result = RunResult(totals: Totals(), seconds: 0)
    var end = start + 1
    for outcome in workers.compactMap({ $0.outcome.withLock { $0 } }) {
        result.totals.add(outcome.totals)
        end = max(end, outcome.end)
    }
    result.seconds = Double(end - start) / 1e9
    return result
}

/// One thread's part: connect, wait for the others, send, leave the totals.
private func work(
    _ options: Options, _ values: ValueSource, number: Int, _ run: RunState, _ progress: WorkerProgress
) {
    do throws(BenchError) {
        var worker = try Worker(options, values: values, thread: number)
        run.connected.add(1, ordering: .acquiringAndReleasing)
        var start: UInt64 = 0
        while start == 0 && !run.isFailed {
            usleep(200)
            start = run.start.load(ordering: .acquiring)
        }
        let deadline = options.seconds.map { start + UInt64($0 * 1e9) } ?? UInt64.max
        try worker.run(run, progress, deadline: deadline)
        let totals = worker.totals
        progress.outcome.withLock { $0 = (totals, bench_monotonic_nanoseconds()) }
    } catch {
        run.fail(error.message)
    }
    run.finished.add(1, ordering: .acquiringAndReleasing)
}

/// Waits for the workers, with a line each second for those who watch.
private func showProgress(_ options: Options, _ run: RunState, _ workers: [WorkerProgress], start: UInt64) {
    let isShown = options.progress || isatty(STDERR_FILENO) == 1
    var lastTime = start
    var lastCount: UInt64 = 0
    while run.finished.load(ordering: .acquiring) < workers.count {
        usleep(20_000)
        let now = bench_monotonic_nanoseconds()
        guard isShown, now - lastTime >= 1_000_000_000 else { continue }
        let count = workers.reduce(0) { $0 + $1.requests.load(ordering: .relaxed) }
        let rate = Double(count - lastCount) * 1e9 / Double(now - lastTime)
        let seconds = decimal(Double(now - start) / 1e9, places: 0)
        write("\(seconds) s  \(count) requests  \(decimal(rate, places: 0))/s\n", to: STDERR_FILENO)
        (lastTime, lastCount) = (now, count)
    }
}
