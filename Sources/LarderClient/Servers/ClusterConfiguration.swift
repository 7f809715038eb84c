/// The servers of a cluster, as one of them tells (`config get cluster`, which Amazon ElastiCache began).
public struct ClusterConfiguration: Sendable, Hashable {
    /// It grows with each change.
    public var version: UInt64
    /// The servers, in the cluster's order.
    public var members: [GroupMember]

    private static let memberCountMax = 10_000

    /// Reads a version, a line end, and words of the form `name|address|port`.
    ///
    /// - Parameter prefersNames: takes the names even where there are addresses, as certificates may want.
    init(_ bytes: [UInt8], prefersNames: Bool) throws(MemcacheError) {
        let lines = bytes.split(separator: UInt8(ascii: "\n"), maxSplits: 2, omittingEmptySubsequences: true)
        guard let first = lines.first, let version = UInt64(Self.trimmed(first)) else {
            throw MemcacheError(.protocolViolation, "the cluster's configuration has no version")
        }
        self.version = version
        members = []
        guard lines.count > 1 else { return }
        for word in Self.trimmed(lines[1]).split(separator: " ") {
            let parts = word.split(separator: "|", omittingEmptySubsequences: false)
            guard parts.count == 3, let port = Int(parts[2]), (1...65535).contains(port),
                !(parts[0].isEmpty && parts[1].isEmpty), members.count < Self.memberCountMax
            else { throw MemcacheError(.protocolViolation, "the cluster's configuration cannot be read") }
            let takesName = parts[1].isEmpty || (prefersNames && !parts[0].isEmpty)
            members.append(GroupMember(.host(String(takesName ? parts[0] : parts[1]), port: port)))
        }
    }

    private static func trimmed(_ line: ArraySlice<UInt8>) -> String {
        String(decoding: line.filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self)
    }
}

extension MemcacheConnection {
    /// Asks which servers are in the cluster, which only the meta dialect can.
    ///
    /// - Parameter prefersNames: takes the servers' names even where there are addresses, as certificates may want.
    public func clusterConfiguration(prefersNames: Bool = false) async throws -> ClusterConfiguration {
        try await observer.observing(.cluster) {
            let answers = try await self.answers(commandCount: 1) { encoder in
                try encoder.clusterConfiguration()
            }
            guard let answer = answers.first, answer.code == .cluster else {
                throw self.observer.unexpected(answers.first)
            }
            return try ClusterConfiguration(answer.bytes, prefersNames: prefersNames)
        }
    }
}
