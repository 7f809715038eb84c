import CLarderResolver
import Glibc
import NIOPosix

/// Keeps a group's servers the same as somebody knows them to be: a service discovery, or the DNS.
///
/// ```swift
/// let discovery = ServerDiscovery(of: group, addressesOf: "memcached.default.svc.cluster.local")
/// try await discovery.refresh()
/// async let _ = discovery.run()
/// ```
///
/// Clusters that tell themselves who is in them have `ClusterDiscovery`.
public struct ServerDiscovery: Sendable {
    private let group: ServerGroup
    private let find: @Sendable () async throws -> [GroupMember]
    private let interval: Duration

    /// - Parameters:
    ///   - interval: how long `run` waits before it looks again.
    ///   - find: says which servers there are now.
    public init(
        of group: ServerGroup, interval: Duration = .seconds(60),
        find: @escaping @Sendable () async throws -> [GroupMember]
    ) {
        self.group = group
        self.interval = interval
        self.find = find
    }

    /// The servers are all the addresses that a name has in the DNS, as of a headless service of Kubernetes.
    ///
    /// - Parameters:
    ///   - port: where they listen, all at the same one.
    ///   - interval: how long `run` waits before it looks again.
    public init(
        of group: ServerGroup, addressesOf name: String, port: Int = 11211,
        interval: Duration = .seconds(60)
    ) {
        self.init(of: group, interval: interval) {
            try await HostLookup.addresses(of: name).map { GroupMember(.host($0, port: port)) }
        }
    }

    /// The servers are those that the DNS names for a service: name, port and weight of each in an SRV record.
    ///
    /// - Parameters:
    ///   - name: such as `_memcache._tcp.cache.example`. Of many priorities only the best one counts.
    ///   - interval: how long `run` waits before it looks again.
    public init(of group: ServerGroup, servicesOf name: String, interval: Duration = .seconds(60)) {
        self.init(of: group, interval: interval) {
            try ServiceRecords(try await HostLookup.services(of: name)).members
        }
    }

    /// Looks once, and changes the group if the servers have changed. When there are none, those from before stay: they
    /// are the better guess.
    ///
    /// - Returns: the servers that the group has now.
    @discardableResult
    public func refresh() async throws -> [GroupMember] {
        let members = try await find()
        if !members.isEmpty, members != group.members { group.update(members) }
        return group.members
    }

    /// Looks again and again until the task is cancelled; what fails is logged.
    public func run() async {
        await DiscoveryLoop(interval: interval, logger: group.configuration.logger).run {
            try await refresh()
        }
    }
}

/// The system's resolver.
enum HostLookup {
    /// All IP addresses of a name, each once, in an order that does not depend on the answer's.
    static func addresses(of name: String) async throws -> [String] {
        // It blocks.
        try await NIOThreadPool.singleton.runIfActive { try blockingAddresses(of: name) }
    }

    /// What the DNS answers to the question for a name's services.
    static func services(of name: String) async throws -> [UInt8] {
        try await NIOThreadPool.singleton.runIfActive {
            var count: Int32 = 0
            let answer = [UInt8](unsafeUninitializedCapacity: answerBytesMax) { bytes, made in
                count = larder_query_services(name, bytes.baseAddress, Int32(bytes.count))
                made = max(0, min(Int(count), bytes.count))
            }
            guard count > 0 else {
                throw MemcacheError(.cannotConnect, "\(name): the DNS names no services")
            }
            return answer
        }
    }

    /// As long as any answer can be.
    private static let answerBytesMax = 65_536

    private static func blockingAddresses(of name: String) throws(MemcacheError) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var first: UnsafeMutablePointer<addrinfo>?
        let status = getaddrinfo(name, nil, &hints, &first)
        guard status == 0 else {
            // SAFETY: the text is a constant of the C library's, copied at once.
            throw MemcacheError(.cannotConnect, "\(name): \(String(cString: gai_strerror(status)))")
        }
        defer { freeaddrinfo(first) }
        var addresses: Set<String> = []
        var next = first
        while let entry = next?.pointee {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            // SAFETY: the list is valid until it is freed at the end of this function; the text is as long as it says.
            let isNamed =
                getnameinfo(
                    entry.ai_addr, entry.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST)
                == 0
            if isNamed {
                addresses.insert(
                    String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = entry.ai_next
        }
        return addresses.sorted()
    }
}
