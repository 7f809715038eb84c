import CBenchSystem
import Glibc
import Synchronization

/// Waits for the workers, with a line each second for those who watch.
func showProgress(
    _ options: Options, _ run: RunState, _ workers: [WorkerProgress], runNumber: Int, start: UInt64
) {
    let isTerminal = isatty(STDERR_FILENO) == 1
    let isShown = options.progress || isTerminal
    var last = ProgressCounts(workers, time: start)
    var lineLength = 0
    while run.finished.load(ordering: .acquiring) < workers.count {
        usleep(20_000)
        let now = bench_monotonic_nanoseconds()
        guard isShown, now - last.time >= 1_000_000_000 else { continue }
        let counts = ProgressCounts(workers, time: now)
        let line = progressLine(options, last, counts, runNumber: runNumber, start: start)
        // On a terminal each line takes the place of the one before.
        let padding = String(repeating: " ", count: max(0, lineLength - line.count))
        write(isTerminal ? "\r" + line + padding : line + "\n", to: STDERR_FILENO)
        (last, lineLength) = (counts, line.count)
    }
    if isTerminal && lineLength > 0 { write("\n", to: STDERR_FILENO) }
}

/// What all workers had done at some time.
struct ProgressCounts {
    var time: UInt64
    var requests: UInt64 = 0
    var latencySum: UInt64 = 0

    init(time: UInt64, requests: UInt64, latencySum: UInt64) {
        (self.time, self.requests, self.latencySum) = (time, requests, latencySum)
    }

    init(_ workers: [WorkerProgress], time: UInt64) {
        self.time = time
        for worker in workers {
            requests += worker.requests.load(ordering: .relaxed)
            latencySum &+= worker.latencySum.load(ordering: .relaxed)
        }
    }
}

/// As in `run 1   40 %   2 s   123456 requests   61728/s   0.805 ms`: the last two of the time since `last`.
func progressLine(
    _ options: Options, _ last: ProgressCounts, _ now: ProgressCounts, runNumber: Int, start: UInt64
) -> String {
    let seconds = Double(now.time - start) / 1e9
    let requests = now.requests - last.requests
    let rate = Double(requests) * 1e9 / Double(max(1, now.time - last.time))
    let latency = Double(now.latencySum &- last.latencySum) / Double(max(1, requests))
    var done = 0.0
    if let all = options.seconds {
        done = seconds / all
    } else {
        let all = (0..<options.connectionsInAll).reduce(0) { $0 + (options.requests(of: $1) ?? 0) }
        done = Double(now.requests) / Double(max(1, all))
    }
    return [
        runNumber == 0 ? "preload" : "run \(runNumber)", "\(decimal(min(done, 1) * 100, places: 0)) %",
        "\(decimal(seconds, places: 0)) s", "\(now.requests) requests", "\(decimal(rate, places: 0))/s",
        "\(decimal(latency / 1e6, places: 3)) ms",
    ].joined(separator: "   ")
}
