import CBenchSystem
import Glibc

/// The version of the whole project.
private let toolVersion = "0.1.0"

/// Does what the command line says; returns the exit code: 0, 1 when the run failed or the server gave a
/// wrong answer, 2 when the options are wrong.
public func runLoadGenerator(_ arguments: [String]) -> Int32 {
    let options: Options
    do throws(OptionError) {
        switch try OptionParser.parse(arguments) {
        case .help:
            write(helpText, to: STDOUT_FILENO)
            return 0
        case .version:
            write("larder-bench \(toolVersion)\n", to: STDOUT_FILENO)
            return 0
        case .run(let found): options = found
        }
    } catch {
        write("larder-bench: \(error.message); --help lists the options\n", to: STDERR_FILENO)
        return 2
    }
    bench_ignore_broken_pipes()
    do throws(BenchError) {
        try runAll(options)
        return 0
    } catch {
        write("larder-bench: \(error.message)\n", to: STDERR_FILENO)
        return 1
    }
}

private func runAll(_ options: Options) throws(BenchError) {
    // What another run stored may be longer than what this one stores, and is checked all the same.
    let longest = max(options.dataSize.upperBound, 1 << 20)
    let values = ValueSource(keyPrefix: options.keyPrefix, longest: longest)
    let target = try LoadTarget(options)
    if options.debug { write(configurationText(options), to: STDERR_FILENO) }
    if options.preload { try preload(options, target, values) }
    var results: [RunResult] = []
    for number in 0..<options.runCount {
        try results.append(
            runLoad(options.run(number: number), target: target, values: values, runNumber: number + 1))
    }
    try report(options, results)
}

private func preload(_ options: Options, _ target: LoadTarget, _ values: ValueSource) throws(BenchError) {
    let result = try runLoad(options.preloading, target: target, values: values, runNumber: 0)
    let seconds = decimal(result.seconds, places: 2)
    var line = "preload: \(result.totals.operations - result.totals.errors) keys in \(seconds) s"
    if let error = result.totals.firstError { line += ", \(result.totals.errors) errors: \(error)" }
    write(line + "\n", to: STDERR_FILENO)
}

/// Writes what the options ask for: a summary for people, and files.
private func report(_ options: Options, _ results: [RunResult]) throws(BenchError) {
    let summary = summary(options, results)
    if let path = options.outFile {
        try writeFile(summary, to: path)
    } else {
        write(summary, to: STDOUT_FILENO)
    }
    if let path = options.jsonFile { try writeFile(jsonReport(options, results), to: path) }
    if let prefix = options.histogramPrefix {
        for (number, result) in results.enumerated() {
            for (name, latency) in result.totals.histograms {
                try writeFile(percentileText(latency), to: "\(prefix)_\(name)_RUN_\(number + 1).hgrm")
            }
        }
    }
    if let path = options.svgFile ?? options.histogramPrefix.map({ $0 + ".svg" }) {
        try writeFile(latencyPlot(options, results), to: path)
    }
}

private func writeFile(_ text: String, to path: String) throws(BenchError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    guard descriptor >= 0 else {
        throw BenchError(message: "cannot write \(path): \(String(cString: strerror(errno)))")
    }
    write(text, to: descriptor)
    close(descriptor)
}

/// Writes all of a text. What cannot be written has nobody to be told to.
func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}
