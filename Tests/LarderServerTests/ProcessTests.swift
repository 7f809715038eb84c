import CLarderSystem
import Glibc
import Synchronization
import Testing

@testable import LarderServer

@Suite struct ProcessTests {
    @Test func aLineIsOneWrite() throws {
        // A datagram socket keeps the bounds of each write.
        var ends: [Int32] = [-1, -1]
        try #require(socketpair(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0, &ends) == 0)
        defer { for fd in ends { close(fd) } }
        StandardError.write("first", to: ends[0])
        StandardError.write("second: é", to: ends[0])
        var bytes = [UInt8](repeating: 0, count: 64)
        #expect(read(ends[1], &bytes, bytes.count) == 6)
        #expect(bytes[..<6].elementsEqual("first\n".utf8))
        let count = read(ends[1], &bytes, bytes.count)
        #expect(bytes[..<count].elementsEqual("second: é\n".utf8))
    }

    @Test func theProcessorsAreThoseThatTheThreadMayUse() throws {
        let status = try #require(contents(of: "/proc/thread-self/status"))
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Cpus_allowed:") })
        let bits = line.drop { $0 != "\t" }.compactMap { $0.hexDigitValue?.nonzeroBitCount }.reduce(0, +)
        #expect(bits > 0)
        #expect(larder_available_processors() == bits)
    }

    @Test func thePidFileHoldsTheProcessAndGoesAtTheEnd() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("pid")
        PidFile.write(to: path)
        #expect(contents(of: path) == "\(getpid())\n")
        #expect(contents(of: path + ".tmp") == nil)
        PidFile.remove(at: path)
        #expect(contents(of: path) == nil)
    }

    @Test(arguments: [
        ("\(getppid())\n", true), ("\(getpid())\n", false), ("0\n", false), ("-1\n", false),
        ("nonsense", false), ("", false), ("99999999999999999999\n", false),
    ])
    func onlyAnotherRunningProcessIsWarnedAbout(text: String, isRunning: Bool) throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("pid")
        try replaceFile(at: path, through: path + ".new", with: text)
        #expect((PidFile.runningProcess(in: path) != nil) == isRunning)
    }

    @Test func theLimitOnOpenFilesIsNeverLowered() throws {
        var before = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &before) == 0)
        let limit = try ResourceLimits.raiseOpenFiles(to: 16)
        #expect(limit >= 16)
        var after = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &after) == 0)
        #expect(after.rlim_cur == before.rlim_cur)
    }

    @Test func clientsBecomeAsManyAsFit() throws {
        var settings = Settings()
        // More than the kernel lets anybody have.
        settings.connectionLimit = 1 << 40
        let notice = try ResourceLimits.allowClients(&settings)
        var limit = rlimit()
        #expect(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0)
        #expect(settings.connectionLimit == Int(limit.rlim_cur) - settings.threadCount * 3 - 64)
        #expect(notice?.hasPrefix("larder: -c is \(settings.connectionLimit), not \(1 << 40): ") == true)
        #expect(try ResourceLimits.allowClients(&settings) == nil)
    }

    @Test func withoutRoomForOneClientItIsRefusedInMemcachedsWords() {
        let error = StartupError.openFileLimit(allowed: 70, needed: 1100)
        #expect(error.exitCode == 71)
        #expect(
            error.message == "failed to set rlimit for open files. "
                + "Try starting as root or requesting smaller maxconns value. "
                + "(1100 open files are needed, and the limit is 70.)")
    }

    @Test func eachClientAndWorkerHasItsDescriptors() {
        var settings = Settings()
        settings.connectionLimit = 1000
        settings.threadCount = 4
        #expect(ResourceLimits.openFiles(for: settings) == 1076)
    }

    @Test func rootStaysRootUnlessAUserIsNamedThatExists() throws {
        guard geteuid() == 0 else { return }
        try ProcessSetup.dropPrivileges(to: nil)
        try ProcessSetup.dropPrivileges(to: "")
        #expect(geteuid() == 0)
        #expect(throws: StartupError.unknownUser("no-such-user")) {
            try ProcessSetup.dropPrivileges(to: "no-such-user")
        }
    }

    @Test func errorsHaveMemcachedsWordsAndCodes() {
        expect(.unknownUser("x"), 67, "can't find the user x to switch to")
        expect(.coreLimit, 71, "failed to ensure corefile creation")
        expect(
            .identity(user: "x", error: EPERM), 71,
            "failed to assume identity of user x: Operation not permitted")
        expect(
            .unresolvedHost(port: 1, host: "h", reason: "r"), 71,
            "failed to listen on TCP port 1: cannot resolve \"h\": r")
        expect(
            .daemon(error: EAGAIN), 1,
            "failed to daemon() in order to daemonize: Resource temporarily unavailable")
    }

    private func expect(_ error: StartupError, _ code: Int32, _ message: String) {
        #expect(error.exitCode == code)
        #expect(error.message == message)
    }

    @Test func aThreadHasItsNameAndLeavesTheSignalsToTheMainThread() throws {
        let observed = ObservedThread()
        try SystemThread(name: "larder-worker") { observed.look() }.join()
        #expect(observed.name.withLock { $0 } == "larder-worker\n")
        #expect(observed.blockedSignals.withLock { $0 } == [SIGTERM, SIGINT, SIGUSR1, SIGHUP])
    }
}

/// What a thread sees of itself.
private final class ObservedThread: Sendable {
    let name = Mutex("")
    let blockedSignals = Mutex<[Int32]>([])

    func look() {
        let comm = contents(of: "/proc/thread-self/comm")
        name.withLock { $0 = comm ?? "" }
        var mask = sigset_t()
        pthread_sigmask(SIG_BLOCK, nil, &mask)
        var blocked: [Int32] = []
        for signal in [SIGTERM, SIGINT, SIGUSR1, SIGHUP, SIGSEGV] where sigismember(&mask, signal) == 1 {
            blocked.append(signal)
        }
        blockedSignals.withLock { $0 = blocked }
    }
}
