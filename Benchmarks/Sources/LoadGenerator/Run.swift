import CBenchSystem
import Glibc
import Synchronization

/// Runs the load that `options` describe on `options.threads` threads.
func runLoad(
    _ options: Options, target: LoadTarget, values: ValueSource, runNumber: Int = 1
) throws(BenchError) -> RunResult {
    // A few more for the terminal, epoll and the JSON file.
    _ = bench_raise_descriptor_limit(UInt64(options.connectionsInAll) + 64)
    let run = RunState()
    let workers = (0..<options.threads).map { _ in WorkerProgress() }
    let threads = workers.enumerated().map { number, progress in
        SystemThread { work(options, target, values, number: number, run, progress) }
    }
    while run.connected.load(ordering: .acquiring) < options.threads && !run.isFailed { usleep(200) }
    let start = bench_monotonic_nanoseconds()
    run.start.store(start, ordering: .releasing)
    showProgress(options, run, workers, runNumber: runNumber, start: start)
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
    _ options: Options, _ target: LoadTarget, _ values: ValueSource, number: Int, _ run: RunState,
    _ progress: WorkerProgress
) {
    do throws(BenchError) {
        var worker = try Worker(options, target: target, values: values, thread: number)
        try worker.finishOpening { run.isFailed }
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
