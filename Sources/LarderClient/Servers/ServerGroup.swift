import Synchronization

/// Many servers that share the keys among them.
///
/// Requests for many keys go to all the servers concerned at the same time. A server that fails again and again is left
/// out, its keys go to others, and it gets them back when it answers again.
public final class ServerGroup: Sendable {
    private struct Membership {
        var members: [GroupMember]
        var servers: [GroupServer]
        var router: GroupRouter
        var isClosed = false
    }

    /// Which server has which keys.
    public let distribution: Distribution
    /// How servers are asked, and what is done when that fails.
    public let configuration: ConnectionConfiguration
    private let ejection: Ejection?
    private let connect: @Sendable (ServerAddress, ConnectionConfiguration) -> any ItemServers
    private let membership: Mutex<Membership>

    /// A group with so many connections to each server; nothing is opened before it is used.
    ///
    /// - Parameters:
    ///   - connectionsPerServer: one carries the requests of many tasks at once.
    ///   - ejection: nil lets each server keep its keys whatever happens.
    public convenience init(
        _ members: [GroupMember], distribution: Distribution = .ketama(),
        configuration: ConnectionConfiguration = .init(), connectionsPerServer: Int = 1,
        ejection: Ejection? = Ejection()
    ) {
        self.init(
            members, distribution: distribution, configuration: configuration, ejection: ejection
        ) { address, configuration in
            guard connectionsPerServer > 1 else {
                return MemcacheConnection(to: address, configuration: configuration)
            }
            return Pooled(LazyPool(size: connectionsPerServer, to: address, configuration: configuration))
        }
    }

    /// A group whose servers are reached as the caller likes.
    ///
    /// - Parameter connect: gives what asks the server of an address; it has to throw `MemcacheError` when that fails.
    public init(
        _ members: [GroupMember], distribution: Distribution = .ketama(),
        configuration: ConnectionConfiguration = .init(), ejection: Ejection? = Ejection(),
        connect: @escaping @Sendable (ServerAddress, ConnectionConfiguration) -> any ItemServers
    ) {
        self.distribution = distribution
        self.configuration = configuration
        self.ejection = ejection
        self.connect = connect
        membership = Mutex(
            Membership(members: [], servers: [], router: GroupRouter([], distribution)))
        update(members)
    }

    /// The servers, in the order in which they were named.
    public var members: [GroupMember] { membership.withLock { $0.members } }

    /// Those that are left out now.
    public var ejectedServers: [ServerAddress] {
        membership.withLock { $0.servers }.filter(\.isEjected).map(\.address)
    }

    /// The server to which a key belongs when all are well.
    public func address(for key: String) -> ServerAddress? {
        membership.withLock { membership in
            membership.router.member(for: key).map { membership.members[$0].address }
        }
    }

    /// Takes these servers from now on; those that stay keep their connections. A closed group stays as it is.
    public func update(_ members: [GroupMember]) {
        // The servers' own connections throw, so that the group sees who fails.
        var inner = configuration
        inner.onFailure = .throw
        let router = GroupRouter(members, distribution)
        var made: [ServerAddress: GroupServer] = [:]
        // `connect` is the caller's, and may ask the group something: not under the lock.
        while let address = install(members, router, made) {
            made[address] = GroupServer(address, connect(address, inner), ejection, configuration.logger)
        }
    }

    /// - Returns: a server that has to be made first; nil when all is done.
    private func install(
        _ members: [GroupMember], _ router: GroupRouter, _ made: [ServerAddress: GroupServer]
    ) -> ServerAddress? {
        membership.withLock { membership in
            guard !membership.isClosed else { return nil }
            var known = made
            for server in membership.servers { known[server.address] = server }
            var servers: [GroupServer] = []
            for member in members {
                guard let server = known[member.address] else { return member.address }
                servers.append(server)
            }
            membership = Membership(members: members, servers: servers, router: router)
            return nil
        }
    }

    /// Closes all connections for good.
    public func close() async {
        let servers = membership.withLock { membership in
            membership.isClosed = true
            return membership.servers
        }
        for server in servers { await server.close() }
    }

    var servers: [GroupServer] { membership.withLock { $0.servers } }

    /// The server that a request for the key goes to now.
    func server(for key: String) throws(MemcacheError) -> AdmittedServer {
        let current = membership.withLock { $0 }
        var admission: ServerHealth.Admission?
        let index = current.router.member(for: key) { index in
            admission = current.servers[index].admit()
            return admission != nil
        }
        guard let index, let admission else { throw noServer }
        return AdmittedServer(server: current.servers[index], admission: admission)
    }

    /// The keys of each server, as their places among `keys`.
    func split(_ keys: [String]) throws(MemcacheError) -> [GroupPart] {
        let current = membership.withLock { $0 }
        // A server that is tried again gets all of its keys.
        var admissions: [Int: ServerHealth.Admission?] = [:]
        var places: [Int: [Int]] = [:]
        for (place, key) in keys.enumerated() {
            let index = current.router.member(for: key) { index in
                if let known = admissions[index] { return known != nil }
                let admission = current.servers[index].admit()
                admissions[index] = .some(admission)
                return admission != nil
            }
            guard let index else { throw noServer }
            places[index, default: []].append(place)
        }
        return places.compactMap { index, places in
            guard let admission = admissions[index] ?? nil else { return nil }
            return GroupPart(
                asked: AdmittedServer(server: current.servers[index], admission: admission), places: places)
        }
    }

    private var noServer: MemcacheError {
        MemcacheError(.noServer, "no server of the group can be asked")
    }
}

/// A server of a group, and the leave to ask it.
struct AdmittedServer: Sendable {
    let server: GroupServer
    let admission: ServerHealth.Admission

    func ask<Result: Sendable>(
        _ body: (any ItemServers) async throws -> Result
    ) async throws -> Result {
        try await server.ask(admission, body)
    }
}

/// What one server of a group is asked of a request for many keys.
struct GroupPart: Sendable {
    let asked: AdmittedServer
    /// Where its keys are among all.
    let places: [Int]
}

extension ServerGroup: Poolable {
    /// Whether no server can be asked.
    public var isBroken: Bool {
        membership.withLock { $0.servers }.allSatisfy(\.isEjected)
    }
}
