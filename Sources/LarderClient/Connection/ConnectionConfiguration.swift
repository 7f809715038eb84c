public import Logging
public import Metrics
public import NIOSSL
public import Tracing

/// What is done when a server cannot be asked.
public enum FailurePolicy: Sendable, Hashable {
    /// What was asked for is not there, and what was to be stored is not stored; a line is logged. What was to be
    /// deleted or flushed throws all the same: it may still be there, and would be found when the server is back.
    case miss
    /// The caller gets the error.
    case `throw`
}

/// How a client says who it is. Either way name and password go over the network as they are: use TLS where others
/// can listen.
public enum Authentication: Sendable, Hashable {
    /// The login of memcached's `-Y` and Larder's: name and password in the first command. There is the meta dialect
    /// only then.
    case ascii(user: String, password: String)
    /// The login of memcached's `-S` and Larder's: SASL's PLAIN. There is the binary dialect only then.
    case sasl(user: String, password: String)
}

/// The language in which a connection speaks with its server. What requests do is the same in each.
public enum Dialect: Sendable, Hashable, CaseIterable {
    /// memcached's meta protocol (1.6 and newer), the better one: keys and numbers come back with each answer, and
    /// leases are the server's.
    case meta
    /// memcached's binary protocol, for servers that want SASL, and old ones.
    ///
    /// It has no leases: an empty item with flags of Larder's own stands in for one, which connections in either dialect
    /// know. The other way round the binary dialect cannot tell a lease of the meta dialect from empty bytes:
    /// programs that make the same values by leases speak the same dialect.
    case binary
}

/// Whether a connection is encrypted.
public enum TransportSecurity: Sendable {
    /// It is not.
    case plain
    /// With OpenSSL's context, which connections share.
    ///
    /// - Parameter serverName: what the certificate has to say; nil stands for the address's host.
    case tls(NIOSSLContext, serverName: String? = nil)

    /// With certificates and options of the caller's; reading them blocks, so make it once.
    public static func tls(
        _ configuration: TLSConfiguration, serverName: String? = nil
    ) throws -> TransportSecurity {
        .tls(try NIOSSLContext(configuration: configuration), serverName: serverName)
    }
}

/// How a connection is made, kept and watched.
public struct ConnectionConfiguration: Sendable {
    /// Whether it is encrypted.
    public var security: TransportSecurity = .plain
    /// Who logs in; nil where the server asks nobody.
    public var authentication: Authentication?
    /// The language to speak where nobody logs in; a login says which one itself.
    public var dialect = Dialect.meta
    /// What callers get when the server is down.
    public var onFailure: FailurePolicy = .throw

    /// From the first packet to the server's first answer: TLS and the login are within it.
    public var connectTimeout: Duration = .seconds(1)
    /// How long an answer may take; also how long a server may be silent before its connection is given up. Requests
    /// for many keys go out in pieces, each of which has as long: `withDeadline` limits all of it.
    public var requestTimeout: Duration = .seconds(1)
    /// After so long without a request the connection closes, until the next one; nil keeps it open.
    public var idleTimeout: Duration?
    /// When a server is tried again that could not be reached.
    public var backoff = Backoff()

    /// The largest value that a server may send.
    public var valueBytesMax = 64 << 20

    /// Where it is said that servers fail and come back.
    public var logger = Logger(label: "larder.client")
    /// Where durations and counts go; nil stands for the process's own.
    public var metricsFactory: (any MetricsFactory)?
    /// Where spans go; nil stands for the process's own.
    public var tracer: (any Tracer)?

    /// What suits a server nearby.
    public init() {}
}

extension ConnectionConfiguration {
    /// The dialect that is spoken.
    var wireDialect: any WireDialect {
        switch (authentication, dialect) {
        case (.ascii, _), (nil, .meta): MetaDialect()
        case (.sasl, _), (nil, .binary): BinaryDialect()
        }
    }
}
