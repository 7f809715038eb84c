import LarderServer
import LarderTesting
import Testing

/// The uwsgi protocol, byte for byte as uWSGI 2.0.30 sends it, whole and cut at every byte.
@Suite struct UwsgiTests {
    static let caches = ["--cache", "name=big,items=100,blocksize=64k", "--cache", "name=other,items=10"]

    /// One connection's bytes, and the answer.
    struct Exchange {
        let request: [UInt8]
        let answer: [UInt8]

        init(_ request: String, _ answer: String) {
            self.request = bytes(request)
            self.answer = bytes(answer)
        }

        init(_ request: [UInt8], _ answer: [UInt8]) {
            self.request = request
            self.answer = answer
        }
    }

    static let ok = "6f0c0011 0600737461747573 02006f6b"
    static let notFound = "6f120011 0600737461747573 08006e6f74666f756e64"
    static let error = "6f0f0011 0600737461747573 05006572726f72"
    private static let setHello =
        "6f300011 0300636d640300736574 03006b657901006b 040073697a65010035 040073697a65010035 050063616368650300626967"
        + "68656c6c6f"
    private static let updateHello =
        "6f330011 0300636d640600757064617465 03006b657901006b 040073697a65010035 040073697a65010035"
        + "050063616368650300626967 48454c4c4f"
    private static let get = "6f1e0011 0300636d640300676574 03006b657901006b 050063616368650300626967"
    private static let getDefault = "6f1b0011 0300636d640300676574 03006b657901006b 050063616368650000"
    private static let getNameless = "6f120011 0300636d640300676574 03006b657901006b"
    private static let exists = "6f210011 0300636d640600657869737473 03006b657901006b 050063616368650300626967"
    private static let delete = "6f1e0011 0300636d64030064656c 03006b657901006b 050063616368650300626967"
    private static let clear = "6f180011 0300636d640500636c656172 050063616368650300626967"
    private static let hello = "6f150011 0600737461747573 02006f6b 040073697a65010035 68656c6c6f"

    @Test func uwsgisClientIsAnswered() throws {
        try hold([
            Exchange(Self.get, Self.notFound), Exchange(Self.exists, Self.notFound),
            Exchange(Self.delete, Self.notFound),
            Exchange(Self.setHello, Self.ok), Exchange(Self.exists, Self.ok), Exchange(Self.get, Self.hello),
            Exchange(Self.getDefault, Self.hello), Exchange(Self.getNameless, Self.hello),
            // There is one: uWSGI's `set` is memcached's `add`.
            Exchange(Self.setHello, Self.error),
            Exchange(Self.updateHello, Self.ok),
            Exchange(Self.get, "6f150011 0600737461747573 02006f6b 040073697a65010035 48454c4c4f"),
            Exchange(Self.delete, Self.ok), Exchange(Self.get, Self.notFound),
            Exchange(Self.setHello, Self.ok), Exchange(Self.clear, Self.ok), Exchange(Self.get, Self.notFound),
        ])
    }

    @Test func lifetimesAreRelative() throws {
        func set(_ expires: String, length: String) -> String {
            "6f\(length)0011 0300636d640300736574 03006b657901006b 040073697a65010035 07006578706972657 3\(expires)"
                + "050063616368650300626967 68656c6c6f"
        }
        // 60 seconds, then the absolute second in the answer.
        try hold([
            Exchange(set("02003630", length: "34"), Self.ok),
            Exchange(
                Self.get,
                "6f2a0011 0600737461747573 02006f6b 040073697a65010035 070065787069726573 0a0031373539323536343630"
                    + "68656c6c6f"),
            Exchange(Self.delete, Self.ok),
            // 10,000,000 seconds: memcached would take that for a time of the year 1970.
            Exchange(set("08003130303030303030", length: "3a"), Self.ok),
            Exchange(
                Self.get,
                "6f2a0011 0600737461747573 02006f6b 040073697a65010035 070065787069726573 0a0031373639323536343030"
                    + "68656c6c6f"),
            Exchange(Self.delete, Self.ok),
            // "-1" is over at once; a number of 20 digits is never over while anybody looks.
            Exchange(set("02002d31", length: "34"), Self.ok), Exchange(Self.get, Self.notFound),
            Exchange(set("1400" + hex(Array(repeating: UInt8(ascii: "9"), count: 20)), length: "46"), Self.ok),
            Exchange(Self.exists, Self.ok),
        ])
    }

    @Test func wrongPacketsAreRefused() throws {
        try hold([
            // No command, an unknown one, no key, an empty key, an unknown cache.
            Exchange("6f080011 03006b657901006b", Self.error),
            Exchange("6f130011 0300636d640400 71756974 03006b657901006b", Self.error),
            Exchange("6f0a0011 0300636d640300676574", Self.error),
            Exchange("6f110011 0300636d640300676574 03006b65790000", Self.error),
            Exchange("6f1c0011 0300636d640300676574 03006b657901006b 0500636163686501007a", Self.error),
            // Sizes: none, 0, " 1", and one larger than a value may be.
            Exchange("6f1b0011 0300636d640300736574 03006b657901006b 050063616368650000", Self.error),
            Exchange("6f1b0011 0300636d640300736574 03006b657901006b 040073697a65010030", Self.error),
            Exchange("6f1c0011 0300636d640300736574 03006b657901006b 040073697a6502002031", Self.error),
            Exchange("6f1f0011 0300636d640300736574 03006b657901006b 040073697a6505003635353337", Self.error),
            // Lengths that do not fit, modifiers that nobody knows, and a body of more than 4,096 bytes: no answer.
            Exchange("6f0a0011 0300636d64 0900676574", ""), Exchange("6f010011 03", ""), Exchange("6f000012", ""),
            Exchange("6f00000a", ""), Exchange("50000000", ""), Exchange("6f011011", ""),
            // The last one of two equal fields counts; what follows the value is passed over.
            Exchange("6f1a0011 0300636d640300676574 03006b657901006b 03006b657901007a", Self.notFound),
            Exchange(Self.setHello + Self.clear, Self.ok), Exchange(Self.get + "00", Self.hello),
        ])
    }

    @Test func aFailedUpdateKeepsTheOldValue() throws {
        let large = "6f220011 0300636d640600757064617465 03006b657901006b 040073697a6505003635353337"
        try hold([Exchange(Self.setHello, Self.ok), Exchange(large, Self.error), Exchange(Self.get, Self.hello)])
    }

    @Test func otherModifiersAreAnsweredAsDocumented() throws {
        try hold([
            Exchange("6f060001 01006b 01007a", ""), Exchange("6f060001 01006b 010079", ""),
            Exchange("6f010000 6b", "6f010000 7a"), Exchange("6f010005 6b", "6f000001 7a"),
            Exchange("6f080003 03006b657901006b", "7a"), Exchange("6f080004 030067657401006b", "7a"),
            Exchange("6f010002 6b", ""),
            Exchange("6f010000 6b", ""), Exchange("6f010005 6b", "6f000000"), Exchange("6f080003 03006b657901006b", ""),
            Exchange(
                "6f080004 030067657401006b",
                hex(
                    Array(
                        "HTTP/1.0 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\n\r\nNot Found".utf8)
                )),
            Exchange("6f050001 01006b 0000", ""), Exchange("6f050001 01006b 0300", ""),
        ])
    }

    @Test func aHalfPacketStoresNothing() throws {
        let server = try InProcessServer(settings: settings(Self.caches))
        let whole = bytes(Self.setHello)
        for count in 0..<whole.count {
            let connection = InProcessConnection(server, bindingProtocol: .uwsgi)
            #expect(connection.receive(Array(whole[..<count])).isEmpty)
            #expect(!connection.isClosed)
        }
        let asking = InProcessConnection(server, bindingProtocol: .uwsgi)
        #expect(asking.receive(bytes(Self.get)) == bytes(Self.notFound))
    }

    @Test func withoutCachesTheDefaultOneAnswers() throws {
        try hold([Exchange(Self.getNameless, Self.notFound), Exchange(Self.get, Self.error)], options: [])
    }

    // MARK: Holding them

    /// Each exchange on a connection of its own, in order: whole, byte by byte, and with each request cut at each byte.
    func hold(_ exchanges: [Exchange], options: [String] = caches) throws {
        try hold(exchanges, options) { [$0] }
        try hold(exchanges, options) { $0.map { [$0] } }
        let longest = exchanges.map(\.request.count).max() ?? 0
        for cut in 1..<longest { try hold(exchanges, options) { [Array($0.prefix(cut)), Array($0.dropFirst(cut))] } }
    }

    func hold(
        _ exchanges: [Exchange], _ options: [String], cut: ([UInt8]) -> [[UInt8]]
    ) throws {
        let server = try InProcessServer(settings: settings(options), startMilliseconds: 1_759_256_400_500)
        for (number, exchange) in exchanges.enumerated() {
            let connection = InProcessConnection(server, bindingProtocol: .uwsgi)
            let pieces = cut(exchange.request).filter { !$0.isEmpty }
            let answer = pieces.flatMap { connection.receive($0) }
            #expect(
                answer == exchange.answer, "exchange \(number), \(hex(exchange.request)) in \(pieces.count) pieces")
            #expect(connection.isClosed, "exchange \(number)")
        }
        #expect(server.checkInvariants().isEmpty)
    }

    func settings(_ options: [String]) throws -> Settings {
        guard case .serve(let settings, _) = parseCommandLine(options + ["--uwsgi", "0"]) else {
            throw WrongOptions()
        }
        return settings
    }

    private struct WrongOptions: Error {}
}

/// The bytes of a hexadecimal text with spaces.
func bytes(_ text: String) -> [UInt8] {
    let digits = text.filter { $0 != " " }.compactMap(\.hexDigitValue)
    precondition(digits.count.isMultiple(of: 2))
    return stride(from: 0, to: digits.count, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
}

private func hex(_ bytes: [UInt8]) -> String {
    bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
}
