import LarderServer

/// Datagrams to a server of small memory, which lives as long as the process: so an input that fails may need those
/// before it, unless the server was as good as new.
final class DatagramTarget: Fuzzed {
    /// Inputs for one server.
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
            fault("no server has \(arguments)")
        }
        // An input that fails is to fail each time.
        settings.hashSeed = 5
        do {
            return try InProcessServer(settings: settings, startMilliseconds: StoreImage.now)
        } catch {
            fault("no server starts with \(arguments): \(error)")
        }
    }

    static func check(_ server: InProcessServer) {
        if let broken = server.checkInvariants().first { fault(broken) }
    }
}
