import CLarderSystem
import Glibc
import LarderEventLoop
import Synchronization

/// Sends the state of the server to the service manager: datagrams to the socket of NOTIFY_SOCKET, as sd_notify(3)
/// describes them. Without that variable it sends nothing.
final class ServiceNotifier: Sendable {
    /// The interval of the watchdog's messages: half of WATCHDOG_USEC; nil: none are wanted.
    let watchdogMilliseconds: Int?
    /// Variables of the environment with which a successor reaches the service manager, too.
    let successorVariables: [String]
    /// nil: there is no service manager.
    private let address: SocketAddress?
    private let socket: Int32
    /// Whether there is a service manager.
    var hasManager: Bool { address != nil }
    /// Set by the first message that could not be sent, so that the log has one line.
    private let hasFailed = Atomic(false)

    /// The longest time that a message waits for room in the service manager's queue.
    private static let patienceMilliseconds: Int64 = 1_000
    /// The time that each message during the start adds for the start.
    private static let extensionMicroseconds = 30_000_000
    private static let watchdogMillisecondsMax = 3_600_000

    /// Takes its variables out of the environment. A value that cannot be used has a warning, and no effect.
    static func take(from environment: ServiceEnvironment, process: pid_t = getpid()) -> ServiceNotifier {
        let place = environment.take("NOTIFY_SOCKET")
        let interval = environment.take("WATCHDOG_USEC")
        let watched = environment.take("WATCHDOG_PID")
        guard let place else { return ServiceNotifier(nil, watchdogMilliseconds: nil) }
        guard let address = SocketAddress(notifySocket: place) else {
            warn("NOTIFY_SOCKET", "the path of a socket, or @ and an abstract name", place)
            return ServiceNotifier(nil, watchdogMilliseconds: nil)
        }
        // Without WATCHDOG_PID, which names one process.
        let variables = ["NOTIFY_SOCKET=\(place)"] + (interval.map { ["WATCHDOG_USEC=\($0)"] } ?? [])
        return ServiceNotifier(
            address, watchdogMilliseconds: watchdog(interval, watched, process: process), variables)
    }

    private static func watchdog(_ interval: String?, _ watched: String?, process: pid_t) -> Int? {
        guard let interval else { return nil }
        guard let microseconds = UInt64(interval), microseconds > 0 else {
            warn("WATCHDOG_USEC", "a number of microseconds", interval)
            return nil
        }
        if let watched {
            guard let owner = pid_t(watched) else {
                warn("WATCHDOG_PID", "the id of a process", watched)
                return nil
            }
            guard owner == process else { return nil }
        }
        // Half of the time that is allowed.
        return min(max(1, Int(clamping: microseconds / 2000)), watchdogMillisecondsMax)
    }

    private static func warn(_ variable: String, _ allowed: String, _ text: String) {
        StandardError.write(
            "larder: \(variable) takes \(allowed), not \"\(ConfigurationReport.printable(text))\"; it has no effect.",
            .warning)
    }

    private init(_ address: SocketAddress?, watchdogMilliseconds: Int?, _ variables: [String] = []) {
        self.address = address
        successorVariables = variables
        self.watchdogMilliseconds = watchdogMilliseconds
        guard address != nil else {
            socket = -1
            return
        }
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        _ = larder_set_send_timeout(socket, Self.patienceMilliseconds)
    }

    deinit { if socket >= 0 { close(socket) } }

    /// Reports that the stores read their files, and asks for more time.
    func noteRestoring(percent: Int) {
        send(
            "STATUS=Reads the files of the stores: \(percent) % done\n"
                + "EXTEND_TIMEOUT_USEC=\(Self.extensionMicroseconds)")
    }

    /// Reports that clients are served.
    /// - Parameter places: the addresses, for the status.
    func noteReady(places: String) { send("READY=1\nSTATUS=Serves \(places)") }

    /// Reports that the settings are read again. `noteReady` reports the end.
    func noteReloading() {
        var now = timespec()
        // SAFETY: the call fills the local struct.
        clock_gettime(CLOCK_MONOTONIC, &now)
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000
        send("RELOADING=1\nMONOTONIC_USEC=\(microseconds)\nSTATUS=Reads the settings again")
    }

    /// Reports the main process of the service, which is another one after a take-over.
    func noteSuccessor(process: Int64) { send("MAINPID=\(process)") }

    /// Has the service manager keep a descriptor until the service is stopped, under a name.
    func keep(_ descriptor: Int32, _ name: String) {
        guard let address else { return }
        let message = Array("FDSTORE=1\nFDNAME=\(name)".utf8)
        // Connected, because that is what the call sends packets over.
        let channel = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(channel) }
        _ = larder_set_send_timeout(channel, Self.patienceMilliseconds)
        let isSent =
            address.withSockaddr({ connect(channel, $0, $1) }) == 0
            && larder_send_packet(channel, message, message.count, [descriptor], 1)
        if !isSent { report(errno) }
    }

    /// Has the service manager close the descriptors of a name.
    func drop(_ name: String) { send("FDSTOREREMOVE=1\nFDNAME=\(name)") }

    /// Reports that the server stops.
    func noteStopping() { send("STOPPING=1\nSTATUS=Stops, and answers the requests that have arrived") }

    /// Reports that the event loop works which calls this. Never waits.
    func noteLoopIsAlive() { send("WATCHDOG=1", flags: Int32(MSG_DONTWAIT)) }

    private func send(_ message: String, flags: Int32 = 0) {
        guard let address else { return }
        var message = message
        let error = message.withUTF8 { bytes in
            // SAFETY: the bytes live as long as this closure.
            address.withSockaddr { sendto(socket, bytes.baseAddress, bytes.count, flags, $0, $1) } < 0 ? errno : 0
        }
        if error != 0, error != EAGAIN { report(error) }
    }

    private func report(_ error: Int32) {
        guard !hasFailed.exchange(true, ordering: .relaxed) else { return }
        StandardError.write(
            "larder: no message reaches the service manager at NOTIFY_SOCKET: \(describe(error: error))", .warning)
    }
}

extension SocketAddress {
    /// The address that NOTIFY_SOCKET names: the absolute path of a socket file, or `@` and an abstract name.
    fileprivate init?(notifySocket text: String) {
        if text.hasPrefix("/") {
            self.init(unixPath: text)
        } else if text.hasPrefix("@") {
            self.init(abstractName: text.dropFirst())
        } else {
            return nil
        }
    }
}

extension WorkerHandle {
    /// Lets this loop send the watchdog's messages, so that they end if the loop hangs.
    func beginWatchdog(_ notifier: ServiceNotifier, everyMilliseconds interval: Int) {
        let timer = Timer(on: pointee.loop.takeUnretainedValue()) { notifier.noteLoopIsAlive() }
        timer.start(afterMilliseconds: interval, repeats: true)
        pointee.context.watchdogTimer = timer
    }
}
