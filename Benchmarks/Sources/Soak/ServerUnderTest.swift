import CBenchSystem
import Glibc

/// The server under test. Its ports and socket files stay the same over restarts, and it is ended by its pid.
final class ServerUnderTest {
    let executable: String
    let directory: String
    /// The directory of the stores.
    let storeDirectory: String
    let plans: [CachePlan]
    let mainPort: UInt16
    let secureMainPort: UInt16
    let securePorts: [UInt16]
    var hasTLS = true
    var routesKeys = false
    var memoryMegabytes = 64
    var workers = 2
    /// The library that moves the server's wall clock; nil: it is not there.
    var clockLibrary: String?
    private(set) var pid: pid_t = -1
    private(set) var lastStatus: Int32 = 0

    init(executable: String, directory: String, storeDirectory: String, plans: [CachePlan]) throws {
        self.executable = executable
        self.directory = directory
        self.storeDirectory = storeDirectory
        self.plans = plans
        let ports = try freePorts(2 + plans.count)
        (mainPort, secureMainPort) = (ports[0], ports[1])
        securePorts = Array(ports[2...])
    }

    var logPath: String { directory + "/server.log" }
    func storePath(_ plan: CachePlan) -> String { "\(storeDirectory)/\(plan.name).store" }
    private var clockPath: String { directory + "/clock" }

    /// Sets the server's wall clock to the machine's plus `seconds`.
    func moveClock(bySeconds seconds: Int64) {
        // SAFETY: the library reads these eight bytes as one number.
        let bytes = withUnsafeBytes(of: seconds * 1_000_000_000) { Array($0) }
        let descriptor = open(clockPath, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return }
        _ = pwrite(descriptor, bytes, bytes.count, 0)
        close(descriptor)
    }

    private var environment: [String] {
        clockLibrary.map { ["LD_PRELOAD=\($0)", "SOAK_CLOCK_FILE=\(clockPath)"] } ?? []
    }

    func place(_ plan: CachePlan, _ number: Int, _ dialect: Dialect) -> Place {
        switch dialect {
        case .tls: .tcp(plan.isMain ? secureMainPort : securePorts[number])
        case .routed: .tcp(mainPort)
        case .text, .meta, .binary: plan.isMain ? .tcp(mainPort) : .unix("\(directory)/\(plan.name).sock")
        }
    }

    private var arguments: [String] {
        var words = ["-l", hasTLS ? "notls:127.0.0.1:\(mainPort)" : "127.0.0.1:\(mainPort)"]
        if hasTLS {
            words += ["-l", "127.0.0.1:\(secureMainPort)", "-Z"]
            words += ["-o", "ssl_chain_cert=\(directory)/server.pem,ssl_key=\(directory)/server.key"]
        }
        words += [
            "-p", "\(mainPort)", "-U", "0", "-m", "\(memoryMegabytes)", "-I", "4m", "-t", "\(workers)", "-c",
            "256",
        ]
        if geteuid() == 0 { words += ["-u", "root"] }
        if routesKeys { words.append("--key-route") }
        for (number, plan) in plans.enumerated() {
            if plan.isMain {
                if plan.hasStore { words += ["-e", storePath(plan)] }
                continue
            }
            var text = "name=\(plan.name),\(plan.keys),listen=\(directory)/\(plan.name).sock"
            if hasTLS { text += ";127.0.0.1:\(securePorts[number])" }
            if plan.hasStore { text += ",store=\(storePath(plan))" }
            words += ["--cache", text]
        }
        return words
    }

    var commandLine: String {
        ([executable] + arguments).map { $0.contains(";") ? "'\($0)'" : $0 }.joined(separator: " ")
    }

    /// Starts the server and waits until it accepts. False if it ends, or does neither within 30 seconds.
    func start() -> Bool {
        moveClock(bySeconds: 0)
        guard let started = spawn(executable, arguments, environment, output: logPath) else { return false }
        pid = started
        Cleanup.pid = pid
        let end = bench_monotonic_nanoseconds() + 30_000_000_000
        while bench_monotonic_nanoseconds() < end {
            if !isRunning { return false }
            if plans.enumerated().allSatisfy({ accepts(place($1, $0, .text)) }) { return true }
            usleep(2000)
        }
        return false
    }

    private func accepts(_ place: Place) -> Bool {
        guard var address = place.address() else { return false }
        let descriptor = bench_connect(&address, 1)
        guard descriptor >= 0 else { return false }
        close(descriptor)
        return true
    }

    /// Whether the server process has not ended.
    var isRunning: Bool {
        guard pid > 0 else { return false }
        var status: Int32 = 0
        guard waitpid(pid, &status, WNOHANG) != 0 else { return true }
        lastStatus = status
        pid = -1
        Cleanup.pid = -1
        return false
    }

    func send(_ number: Int32) { if pid > 0 { kill(pid, number) } }

    /// Sends a signal that ends the server, and waits. After 15 seconds it kills the server and returns false.
    func end(_ number: Int32) -> Bool {
        send(number)
        let end = bench_monotonic_nanoseconds() + 15_000_000_000
        while isRunning {
            if bench_monotonic_nanoseconds() > end {
                send(SIGKILL)
                while isRunning { usleep(1000) }
                return false
            }
            usleep(500)
        }
        return true
    }

    /// How the server ended, in words.
    var ending: String {
        let signal = lastStatus & 0x7f
        return signal == 0 ? "exit \(lastStatus >> 8 & 0xff)" : "signal \(signal)"
    }

    /// The last lines of the server's log.
    var log: String {
        let lines = contents(of: logPath).split(separator: "\n", omittingEmptySubsequences: false)
        return lines.suffix(60).joined(separator: "\n")
    }

    /// Makes a self-signed certificate. False if there is no `openssl` program.
    func makeCertificate() -> Bool {
        let words = [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "30",
            "-subj", "/CN=localhost", "-keyout", directory + "/server.key", "-out", directory + "/server.pem",
        ]
        guard let child = spawn("/usr/bin/env", words, [], output: directory + "/openssl.log") else {
            return false
        }
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        return status == 0
    }
}

/// Starts a program with an empty standard input, and with `environment` besides this process's own. Its output is
/// appended to a file.
func spawn(_ executable: String, _ arguments: [String], _ environment: [String], output: String) -> pid_t? {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    var words = ([executable] + arguments).map { strdup($0) } + [nil]
    defer { for word in words { free(word) } }
    var inherited: [UnsafeMutablePointer<CChar>?] = []
    while let variable = environ[inherited.count] { inherited.append(variable) }
    let added = environment.map { strdup($0) }
    defer { for variable in added { free(variable) } }
    var variables = inherited + added + [nil]
    var pid: pid_t = 0
    return posix_spawn(&pid, executable, &actions, nil, &words, &variables) == 0 ? pid : nil
}

func contents(of path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while case let count = fread(&chunk, 1, chunk.count, file), count > 0 { bytes += chunk[..<count] }
    return String(decoding: bytes, as: UTF8.self)
}

/// Free ports of 127.0.0.1.
private func freePorts(_ count: Int) throws -> [UInt16] {
    var descriptors: [Int32] = []
    defer { for descriptor in descriptors { close(descriptor) } }
    var ports: [UInt16] = []
    for _ in 0..<count {
        let descriptor = bench_listen(0)
        guard descriptor >= 0 else { throw SoakError("no free port (errno \(errno))") }
        descriptors.append(descriptor)
        var address = sockaddr_in()
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        // SAFETY: getsockname is told how much room the address has.
        _ = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &size) }
        }
        ports.append(UInt16(bigEndian: address.sin_port))
    }
    return ports
}

/// Ends the server and removes the files when this process ends, also by a signal.
enum Cleanup {
    // SAFETY: words that a signal handler reads. They are set before the threads begin, or by the thread that starts
    // servers.
    nonisolated(unsafe) static var pid: pid_t = -1
    nonisolated(unsafe) static var mountPoint: UnsafeMutablePointer<CChar>?
    nonisolated(unsafe) static var isInterrupted: sig_atomic_t = 0

    static func install() {
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT] { signal(number, cleanUpAndDie) }
        for number in [SIGINT, SIGTERM, SIGHUP] { signal(number, noteInterruption) }
        bench_ignore_broken_pipes()
    }
}

// Functions and not closures: a signal handler has no context.
private func cleanUpAndDie(_ number: Int32) {
    if Cleanup.pid > 0 { kill(Cleanup.pid, SIGKILL) }
    if let point = Cleanup.mountPoint { _ = bench_unmount(point) }
    signal(number, SIG_DFL)
}

private func noteInterruption(_ number: Int32) { Cleanup.isInterrupted = 1 }
