import CBenchSystem
import Glibc

/// Runs the campaign of `arguments` and prints its result. Returns 0 if nothing was wrong, lost or broken.
public func runSoak(_ arguments: [String]) -> Int32 {
    if arguments.contains("--help") || arguments.contains("-h") {
        print(SoakOptions.usage)
        return 0
    }
    Cleanup.install()
    do throws(SoakError) {
        let options = try SoakOptions(arguments)
        guard access(options.server, X_OK) == 0 else {
            throw SoakError("cannot execute \(options.server)")
        }
        return try runAll(options)
    } catch {
        say("larder-soak: \(error)\n\(SoakOptions.usage)")
        return 2
    }
}

private func runAll(_ options: SoakOptions) throws(SoakError) -> Int32 {
    let directory = try makeDirectory(options)
    defer { removeAll(directory) }
    var options = options
    let stores = directory + "/stores"
    mkdir(stores, 0o700)
    let isMounted = mountStores(stores, &options)
    defer { if isMounted { unmountStores(stores) } }
    if options.faults.contains(.clock), clockLibrary() == nil {
        say("no clock jumps: libsoak-clock.so is not beside this program (make soak-program)")
        options.faults.removeAll { $0 == .clock }
    }
    say("seed \(options.seed)")

    var sum = Campaign.Result()
    for (turn, workers) in options.workers.enumerated() where Cleanup.isInterrupted == 0 {
        let campaign = Campaign(
            options: options, workers: workers, seconds: max(1, options.seconds / options.workers.count),
            routesKeys: turn % (options.isStress ? 4 : 2) == (options.isStress ? 2 : 1),
            operations: options.operations / options.workers.count, directory: directory,
            storeDirectory: stores)
        let result = try campaign.run()
        report("-t \(workers)", options, result)
        sum += result
        removeFiles(stores)
        if result.broken > 0 { break }
    }
    if options.workers.count > 1 { report("all", options, sum) }
    return sum.wrong + sum.lost + sum.broken == 0 ? 0 : 1
}

private func report(_ title: String, _ options: SoakOptions, _ result: Campaign.Result) {
    let faults = FaultKind.allCases.compactMap { kind in result.faults[kind].map { "\(kind.rawValue) \($0)" }
    }
    let rate = Int(Double(result.operations) / max(0.001, result.seconds))
    print(
        """
        \(title): seed \(options.seed), operations \(result.operations) in \(Int(result.seconds)) s (\(rate)/s: hits \
        \(result.hits), misses \(result.misses), changes \(result.changes)), checked after restarts \
        \(result.rechecked), refused \(result.refused), flushes \(result.flushes), faults \
        \(result.faults.values.reduce(0, +)) (\(faults.isEmpty ? "none" : faults.joined(separator: ", "))), wrong \
        \(result.wrong), lost \(result.lost), broken \(result.broken)
        """)
    fflush(nil)
}

// MARK: Files

/// The library that moves a server's wall clock. It is built beside this program.
func clockLibrary() -> String? {
    var path = [CChar](repeating: 0, count: 4096)
    let length = readlink("/proc/self/exe", &path, path.count)
    guard length > 0 else { return nil }
    let program = String(decoding: path[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let library = program[..<(program.lastIndex(of: "/") ?? program.startIndex)] + "/libsoak-clock.so"
    return access(String(library), R_OK) == 0 ? String(library) : nil
}

private func makeDirectory(_ options: SoakOptions) throws(SoakError) -> String {
    let parent = options.directory ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/larder-soak-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SoakError("no directory in \(parent) (errno \(errno))") }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Mounts a small file system for the stores, which a fault can fill. Without it the disk is never full.
private func mountStores(_ path: String, _ options: inout SoakOptions) -> Bool {
    if bench_mount_memory(path, 640 << 20) == 0 {
        Cleanup.mountPoint = strdup(path)
        return true
    }
    if options.faults.contains(.disk) {
        say("no full disks: this user may not mount (errno \(errno))")
        options.faults.removeAll { $0 == .disk }
    }
    return false
}

private func unmountStores(_ path: String) {
    Cleanup.mountPoint = nil
    _ = bench_unmount(path)
}

private func removeFiles(_ path: String) {
    guard let directory = opendir(path) else { return }
    defer { closedir(directory) }
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { tuple in
            // SAFETY: d_name is an array of 256 bytes that ends with a zero.
            tuple.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { unlink(path + "/" + name) }
    }
}

private func removeAll(_ directory: String) {
    removeFiles(directory + "/stores")
    rmdir(directory + "/stores")
    removeFiles(directory)
    rmdir(directory)
}
