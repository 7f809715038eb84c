import CBenchSystem
import Glibc

/// Does what the command line says; returns the exit code: 0, 1 when the run failed or the server gave a
/// wrong answer, 2 when the options are wrong.
public func runLoadGenerator(_ arguments: [String]) -> Int32 {
    let options: Options
    do throws(OptionError) {
        switch try OptionParser.parse(arguments) {
        case .help:
            write(helpText, to: STDOUT_FILENO)
            return 0
        case .run(let found): options = found
        }
    } catch {
        write("larder-bench: \(error.message); --help lists the options\n", to: STDERR_FILENO)
        return 2
    }
    do throws(BenchError) {
        // What another run stored may be longer than what this one stores, and is checked all the same.
        let longest = max(options.dataSize.upperBound, 1 << 20)
        let values = ValueSource(keyPrefix: options.keyPrefix, longest: longest)
        if options.preload { try preload(options, values) }
        let result = try runLoad(options, values: values)
        write(summary(options, result), to: STDOUT_FILENO)
        if let path = options.jsonFile { try writeJSON(jsonReport(options, result), to: path) }
        return 0
    } catch {
        write("larder-bench: \(error.message)\n", to: STDERR_FILENO)
        return 1
    }
}

private func preload(_ options: Options, _ values: ValueSource) throws(BenchError) {
    let result = try runLoad(options.preloading, values: values)
    let seconds = decimal(result.seconds, places: 2)
    var line = "preload: \(result.totals.operations - result.totals.errors) keys in \(seconds) s"
    if let error = result.totals.firstError { line += ", \(result.totals.errors) errors: \(error)" }
    write(line + "\n", to: STDERR_FILENO)
}

private func writeJSON(_ text: String, to path: String) throws(BenchError) {
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
