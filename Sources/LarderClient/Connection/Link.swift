import NIOCore
import NIOPosix
import NIOSSL

/// What one life of a connection is made with.
struct LinkSettings: Sendable {
    let address: ServerAddress
    let dialect: any WireDialect
    let security: TransportSecurity
    let authentication: Authentication?
    let connectTimeout: TimeAmount
    let requestTimeout: TimeAmount
    let idleTimeout: TimeAmount?
    let valueBytesMax: Int

    init(_ address: ServerAddress, _ configuration: ConnectionConfiguration) {
        self.address = address
        dialect = configuration.wireDialect
        security = configuration.security
        authentication = configuration.authentication
        connectTimeout = TimeAmount(configuration.connectTimeout.clamped)
        requestTimeout = TimeAmount(configuration.requestTimeout.clamped)
        idleTimeout = configuration.idleTimeout.map { TimeAmount($0.clamped) }
        valueBytesMax = configuration.valueBytesMax
    }
}

/// How a connection ended.
struct LinkEnd: Sendable {
    /// Nil when nobody waited for anything.
    let error: MemcacheError?
    /// Whether the server ever answered a request.
    let hasAnswered: Bool
}

/// What a link tells the connection whose link it is.
struct LinkEvents: Sendable {
    /// The server has answered a request, for the first time.
    let answered: @Sendable () -> Void
    let ended: @Sendable (LinkEnd) -> Void
    /// Of this request nothing was sent.
    let resend: @Sendable (PendingBatch) -> Void
}

/// An open connection.
struct Link: Sendable {
    let channel: any Channel
    private let handler: NIOLoopBound<PipelineHandler>

    func send(_ batch: PendingBatch) {
        channel.eventLoop.execute { handler.value.enqueue(batch) }
    }

    /// Ends it; who waits for an answer gets the error.
    func end(_ error: MemcacheError) {
        channel.eventLoop.execute { handler.value.end(error) }
    }

    /// Connects, logs in, and hears the server's first answer.
    static func open(
        _ settings: LinkSettings, _ events: LinkEvents
    ) -> EventLoopFuture<Link> {
        let bootstrap = ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connectTimeout(settings.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        let deadline = NIODeadline.now() + settings.connectTimeout
        let connected: EventLoopFuture<any Channel> =
            switch settings.address {
            case .host(_, let port) where !(0...Int(UInt16.max)).contains(port):
                MultiThreadedEventLoopGroup.singleton.any().makeFailedFuture(
                    MemcacheError(.cannotConnect, "\(settings.address): there is no such port"))
            case .host(let name, let port): bootstrap.connect(host: name, port: port)
            case .unixSocket(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        return connected.flatMap { channel in greet(channel, settings, deadline, events) }
    }

    private static func greet(
        _ channel: any Channel, _ settings: LinkSettings, _ deadline: NIODeadline,
        _ events: LinkEvents
    ) -> EventLoopFuture<Link> {
        let loop = channel.eventLoop
        let isReady = loop.makePromise(of: Void.self)
        let handler = PipelineHandler(settings, isReady: isReady, events)
        let bound = NIOLoopBound(handler, eventLoop: loop)
        let limit = loop.scheduleTask(deadline: deadline) {
            bound.value.end(MemcacheError(.cannotConnect, "\(settings.address) does not answer in time"))
        }
        do {
            // A host may have many addresses, of which the fastest is taken: only now there is one channel. TLS comes
            // together with what hears of its errors: before, it would refuse a certificate and nobody would know why.
            var handlers: [any ChannelHandler] = [handler]
            if case .tls(let context, let name) = settings.security {
                handlers.insert(try tlsHandler(context, name, settings.address), at: 0)
            }
            try channel.pipeline.syncOperations.addHandlers(handlers)
        } catch {
            isReady.fail(error)
            channel.close(promise: nil)
        }
        return isReady.futureResult.map { Link(channel: channel, handler: bound) }.always { _ in
            limit.cancel()
        }
    }

    private static func tlsHandler(
        _ context: NIOSSLContext, _ name: String?, _ address: ServerAddress
    ) throws -> NIOSSLClientHandler {
        var serverName = name
        if serverName == nil, case .host(let host, _) = address,
            (try? SocketAddress(ipAddress: host, port: 0)) == nil
        {
            serverName = host
        }
        return try NIOSSLClientHandler(context: context, serverHostname: serverName)
    }
}
