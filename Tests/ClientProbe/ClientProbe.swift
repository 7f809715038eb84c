import CLarderSystem
import LarderClient

/// Carries out what it reads with a group of servers, for tests that hold other clients against Larder's.
///
/// Arguments: how keys are distributed, then a server each, as `host:port` or the path of a socket, and `=weight` if it
/// is not 1. `--binary` among them speaks the binary dialect, `--sasl=NAME:PASSWORD` logs in. Lines of input: `set KEY VALUE`, `get KEY`, `where KEY`, and those of `TypedValues`; each is
/// answered by a line.
@main struct ClientProbe {
    static func main() async throws {
        let arguments = (0..<larder_argument_count()).map { String(cString: larder_argument($0)) }.dropFirst()
        guard let name = arguments.first, let distribution = distributions[name] else {
            print("usage: client-probe DISTRIBUTION [--binary] [--sasl=NAME:PASSWORD] SERVER[=WEIGHT]...")
            return
        }
        var configuration = ConnectionConfiguration()
        for option in arguments where option.hasPrefix("--") { apply(option, to: &configuration) }
        let members = arguments.dropFirst().filter { !$0.hasPrefix("--") }.map(member)
        let group = ServerGroup(members, distribution: distribution, configuration: configuration)
        while let line = readLine() {
            print(try await answer(to: line, group, members))
        }
        await group.close()
    }

    private static let distributions: [String: Distribution] = [
        "ketama": .ketama(), "ketama-md5": .ketama(hash: .md5), "ketama-weighted": .ketamaWeighted,
        "rendezvous": .rendezvous,
    ]

    private static func apply(_ option: String, to configuration: inout ConnectionConfiguration) {
        if option == "--binary" { configuration.dialect = .binary }
        guard option.hasPrefix("--sasl="), let colon = option.firstIndex(of: ":") else { return }
        configuration.authentication = .sasl(
            user: String(option[..<colon].dropFirst("--sasl=".count)),
            password: String(option[option.index(after: colon)...]))
    }

    private static func member(_ text: String) -> GroupMember {
        let parts = text.split(separator: "=", maxSplits: 1)
        let weight = parts.count == 2 ? UInt32(parts[1]) ?? 1 : 1
        guard !text.hasPrefix("/"), let colon = parts[0].lastIndex(of: ":") else {
            return GroupMember(.unixSocket(path: String(parts[0])), weight: weight)
        }
        let port = Int(parts[0][parts[0].index(after: colon)...]) ?? 11211
        return GroupMember(.host(String(parts[0][..<colon]), port: port), weight: weight)
    }

    private static func answer(
        to line: String, _ group: ServerGroup, _ members: [GroupMember]
    ) async throws -> String {
        let words = line.split(separator: " ", maxSplits: 2).map(String.init)
        switch (words.first, words.count) {
        case ("set", 3):
            let item = NewItem(key: words[1], bytes: Array(words[2].utf8))
            return try await group.store(.set, [item], expiration: .never).isEmpty ? "stored" : "failed"
        case ("get", 2):
            let item = try await group.items(for: [words[1]])[words[1]]
            return item.map { "value " + String(decoding: $0.bytes, as: UTF8.self) } ?? "miss"
        case ("where", 2):
            let address = group.address(for: words[1])
            return members.firstIndex { $0.address == address }.map { "server \($0)" } ?? "nowhere"
        default:
            let cache = RemoteCache(group, compression: Compression(bytesMin: 200))
            return try await TypedValues(cache: cache).answer(to: words) ?? "what?"
        }
    }
}
