import LarderTesting

/// The first inputs for a target, made from the requests of the protocol tests.
struct Seeds {
    private let target: FuzzTarget

    init(_ target: FuzzTarget) { self.target = target }

    func write(conversations directory: String, into out: String) throws {
        var number = 0
        func write(_ input: [UInt8]) throws {
            try Files.write(input, to: "\(out)/\(target.rawValue)-\(number)")
            number += 1
        }
        if target == .reader || target == .file {
            try write([])
            return try StoreImage.seeds.forEach(write)
        }
        for name in try Files.names(in: directory) where name.hasSuffix(".conversation") && isOfTarget(name) {
            let text = String(decoding: try Files.bytes(of: directory + "/" + name), as: UTF8.self)
            for conversation in try ConversationParser.parse(text, file: name) {
                let input = input(conversation)
                // Longer inputs test lengths only, and are slow.
                if input.count <= Self.bytesMax { try write(input) }
            }
        }
    }

    private static let bytesMax = 4096

    private func isOfTarget(_ name: String) -> Bool {
        switch target {
        case .meta: name.hasPrefix("meta")
        case .binary: name.hasPrefix("binary")
        case .text: !name.hasPrefix("meta") && !name.hasPrefix("binary")
        case .login: name.hasPrefix("access")
        case .uwsgi: name.hasPrefix("foreign")
        case .datagram, .conversation: true
        case .reader, .file: false
        }
    }

    private func input(_ conversation: Conversation) -> [UInt8] {
        let segments = conversation.segments.map { segment in
            segment.input.flatMap { $0.bytes(bindings: [:], unixTime: 1_700_000_000) }
        }
        switch target {
        case .conversation: return script(conversation, segments)
        case .datagram:
            let header: [UInt8] = [0, 1, 0, 0, 0, 1, 0, 0]
            return [0]
                + Array(segments.filter { !$0.isEmpty }.map { header + $0 }.joined(separator: [Script.mark]))
        default: return ParserInput.prefix + segments.joined()
        }
    }

    private func script(_ conversation: Conversation, _ segments: [[UInt8]]) -> [UInt8] {
        var bytes: [UInt8] = [UInt8(options(of: conversation))]
        var client = 1
        for (segment, input) in zip(conversation.segments, segments) {
            if segment.advanceMilliseconds > 0 {
                bytes += [Script.mark, Script.second, UInt8(min(255, segment.advanceMilliseconds / 1000))]
            }
            if segment.connection != client {
                client = segment.connection
                bytes += [Script.mark, Script.connections.lowerBound + UInt8((client - 1) % 3)]
            } else if bytes.count > 1 {
                bytes += [Script.mark, Script.cut]
            }
            bytes += input.flatMap { $0 == Script.mark ? [$0, $0] : [$0] }
        }
        return bytes
    }

    /// The index of the options that suit a conversation.
    private func options(of conversation: Conversation) -> Int {
        let wanted = Set(
            conversation.options.filter { $0.hasPrefix("-") && $0.count == 2 && $0 != "-m" && $0 != "-I" })
        if conversation.options.contains("--key-route") { return 12 }
        if conversation.options.contains(where: { $0.contains("purge_lru") || $0.contains("math_initial") }) {
            return 11
        }
        if conversation.options.contains(where: { $0.hasPrefix("--cache") }) { return 10 }
        guard !wanted.isEmpty else { return 0 }
        return ConversationTarget.options.firstIndex { wanted.isSubset(of: $0) } ?? 0
    }
}
