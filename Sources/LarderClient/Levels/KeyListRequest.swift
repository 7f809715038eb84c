import NIOCore

/// Asks a server once for its keys.
struct KeyListRequest {
    private let settings: LinkSettings

    /// memcached's crawler does one thing at a time, and looks through its memory on its own as well.
    private static let attemptsMax = 100
    private static let retryInterval = Duration.milliseconds(50)

    init(_ address: ServerAddress, _ configuration: ConnectionConfiguration) {
        settings = LinkSettings(address, configuration)
    }

    func keys(withPrefix prefix: String) async throws -> [String] {
        let events = LinkEvents(answered: {}, ended: { _ in }, resend: { _ in })
        let link: Link
        do {
            link = try await Link.open(settings, events).get()
        } catch {
            if error is MemcacheError || error is CancellationError { throw error }
            throw MemcacheError(.cannotConnect, "\(settings.address)", underlying: error)
        }
        let channel = link.channel
        defer { channel.close(promise: nil) }
        for _ in 1..<Self.attemptsMax {
            if let keys = try await ask(channel, prefix) { return keys }
            try await Task.sleep(for: Self.retryInterval)
        }
        throw MemcacheError(.serverError, "\(settings.address) is busy with its keys")
    }

    /// - Returns: nil when the server has no time.
    private func ask(_ channel: any Channel, _ prefix: String) async throws -> [String]? {
        let result = channel.eventLoop.makePromise(of: [String]?.self)
        let settings = settings
        return try await withTaskCancellationHandler {
            channel.eventLoop.execute {
                let pipeline = channel.pipeline.syncOperations
                do {
                    // Between the socket and the handler of all other answers, which so sees none of these.
                    let handler = KeyListHandler(settings, prefix, result)
                    try pipeline.addHandler(
                        handler, position: .before(pipeline.handler(type: PipelineHandler.self)))
                } catch {
                    result.fail(MemcacheError(.connectionLost, "\(settings.address)", underlying: error))
                }
            }
            return try await result.futureResult.get()
        } onCancel: {
            result.fail(CancellationError())
            channel.close(promise: nil)
        }
    }
}

/// How a server goes through its keys for a list of them: the word for it in `lru_crawler metadump`.
enum KeyWalk: String {
    /// By its hash table: each key that is there all the time, once. memcached knows it from 1.6.9 on.
    case hash
    /// By its lists of what was used when: a key that moves between two of them meanwhile may be missing, or there
    /// twice (memcached's pull requests 193 and 735).
    case all
}

/// Sends the question, and reads the answer: `OK`, where the server says that, a line for each key, and `END`.
final class KeyListHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// No line is longer: a key, each byte of it as three, and numbers.
    private static let lineBytesMax = 4096
    /// No server has more to say of the keys that are asked for, in bytes: so one that never ends is noticed.
    private static let keysBytesMax = 1 << 30

    private let settings: LinkSettings
    private let prefix: String
    private var result: EventLoopPromise<[String]?>?
    private var walk = KeyWalk.hash
    private var buffer = ByteBuffer()
    private var keys: [String] = []
    private var keysBytes = 0
    private var silence: Scheduled<Void>?

    init(_ settings: LinkSettings, _ prefix: String, _ result: EventLoopPromise<[String]?>) {
        self.settings = settings
        self.prefix = prefix
        self.result = result
    }

    func handlerAdded(context: ChannelHandlerContext) {
        guard context.channel.isActive else { return fail(.connectionLost, "it closed the connection") }
        ask(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var incoming = unwrapInboundIn(data)
        buffer.discardReadBytes()
        buffer.writeBuffer(&incoming)
        listen(context)
        while result != nil, let end = buffer.readableBytesView.firstIndex(of: 0x0A) {
            var line = buffer.readableBytesView[buffer.readerIndex..<end]
            if line.last == 0x0D { line = line.dropLast() }
            buffer.moveReaderIndex(to: end + 1)
            receive(line, context)
        }
        if buffer.readableBytes > Self.lineBytesMax {
            fail(.protocolViolation, "it sends a line without end")
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail(.connectionLost, "it closed the connection")
        context.fireChannelInactive()
    }

    private func ask(_ context: ChannelHandlerContext) {
        let question = ByteBuffer(string: "lru_crawler metadump \(walk.rawValue)\r\n")
        context.writeAndFlush(wrapOutboundOut(question), promise: nil)
        listen(context)
    }

    private func receive(_ line: ByteBufferView, _ context: ChannelHandlerContext) {
        if line.starts(with: "key=".utf8) {
            let text = line.dropFirst(4).prefix { $0 != 0x20 }
            guard let key = Self.decoded(text), key.utf8.starts(with: prefix.utf8) else { return }
            keys.append(key)
            keysBytes += key.utf8.count + 1
            if keysBytes > Self.keysBytesMax { fail(.protocolViolation, "its list of keys has no end") }
        } else if line.elementsEqual("END".utf8) {
            finish(.success(keys), context)
        } else if line.starts(with: "BUSY".utf8) {
            finish(.success(nil), context)
        } else if walk == .hash, line.starts(with: "BADCLASS".utf8) {
            // It is old, and takes the word for the number of a class.
            walk = .all
            ask(context)
        } else if !line.elementsEqual("OK".utf8) {
            fail(
                .serverError,
                "it does not list its keys: \(String(decoding: line.prefix(100), as: UTF8.self))")
        }
    }

    /// Each byte may be written as a percent sign and two digits. Nil for what is no text.
    private static func decoded(_ text: ByteBufferView) -> String? {
        var bytes: [UInt8] = []
        var place = text.startIndex
        while place < text.endIndex {
            if text[place] == UInt8(ascii: "%"), text.endIndex - place > 2,
                let byte = UInt8(
                    String(decoding: text[(place + 1)...(place + 2)], as: UTF8.self), radix: 16)
            {
                bytes.append(byte)
                place += 3
            } else {
                bytes.append(text[place])
                place += 1
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }

    /// Waits for more, but not for ever.
    private func listen(_ context: ChannelHandlerContext) {
        silence?.cancel()
        silence = context.eventLoop.assumeIsolated().scheduleTask(in: settings.requestTimeout) {
            self.fail(.timedOut, "it does not list its keys in time")
        }
    }

    private func fail(_ code: MemcacheError.Code, _ message: String) {
        silence?.cancel()
        result?.fail(MemcacheError(code, "\(settings.address): \(message)"))
        result = nil
    }

    private func finish(_ answer: Result<[String]?, any Error>, _ context: ChannelHandlerContext) {
        silence?.cancel()
        result?.completeWith(answer)
        result = nil
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }
}
