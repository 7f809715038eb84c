import LarderServer

/// Datagrams to a server with little memory. The server lives for 64 inputs, so an input that fails may need the inputs
/// before it.
final class DatagramTarget: Fuzzed {
    /// The number of inputs for one server.
    private static let inputsMax = 64
    private var server: InProcessServer?
    private var inputs = 0

    func run(_ input: [UInt8]) {
        guard let first = input.first else { return }
        let isGuarded = first & 1 != 0
        let server = server ?? Servers.make(["-m", "2", "-A"])
        for datagram in input.dropFirst().split(separator: Script.mark, omittingEmptySubsequences: false) {
            guard let answer = server.answer(datagram: Array(datagram), isGuarded: isGuarded) else {
                continue
            }
            let sent = answer.reduce(0) { $0 + $1.count }
            if isGuarded, sent >= datagram.count { fault("\(sent) bytes in answer to \(datagram.count)") }
            if answer.contains(where: { $0.count > 1400 || $0.count <= 8 }) {
                fault("a datagram of a wrong size")
            }
        }
        inputs += 1
        if inputs < Self.inputsMax {
            self.server = server
            return
        }
        Servers.check(server)
        inputs = 0
        self.server = nil
    }
}

/// Servers without sockets.
enum Servers {
    static func make(_ arguments: [String]) -> InProcessServer {
        guard case .serve(var settings, _) = parseCommandLine(arguments) else {
            fault("unknown options \(arguments)")
        }
        // A fixed seed, so that a failing input fails each time.
        settings.hashSeed = 5
        do {
            return try InProcessServer(settings: settings, startMilliseconds: StoreImage.now)
        } catch {
            fault("the server does not start with \(arguments): \(error)")
        }
    }

    static func check(_ server: InProcessServer) {
        if let broken = server.checkInvariants().first { fault(broken) }
    }
}
