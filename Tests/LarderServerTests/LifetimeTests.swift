import LarderTesting
import Testing

@testable import LarderServer

/// A lifetime counts from the write, even if the write comes late in its turn.
@Suite struct LifetimeTests {
    /// A write that gives `k` ten seconds, and the request that must come before it.
    struct Write: CustomTestStringConvertible {
        var request: [UInt8]
        var before = ""
        var testDescription: String {
            request[0] == 0x80
                ? "opcode \(request[1])" : String(decoding: request.prefix { $0 != 0x0d }, as: UTF8.self)
        }

        init(_ request: String, after before: String = "") {
            self.request = Array(request.utf8)
            self.before = before
        }

        /// A binary packet.
        init(opcode: UInt8, extras: [UInt8], value: String, after before: String = "") {
            let body = extras + Array("k\(value)".utf8)
            request = [0x80, opcode, 0, 1, UInt8(extras.count), 0, 0, 0, 0, 0, 0, UInt8(body.count)]
            request += [UInt8](repeating: 0, count: 12) + body
            self.before = before
        }
    }

    private static let item = "set k 0 0 1\r\n7\r\n"

    static let writes: [Write] = [
        Write("set k 0 10 1\r\n7\r\n"),
        Write("set k 0 10 1 noreply\r\n7\r\n"),
        Write("add k 0 10 1\r\n7\r\n"),
        Write("replace k 0 10 1\r\n7\r\n", after: item),
        Write("touch k 10\r\n", after: item),
        Write("gat 10 k\r\n", after: item),
        Write("gats 10 k\r\n", after: item),
        Write("ms k 1 T10\r\n7\r\n"),
        Write("ms k 1 MA N10\r\n7\r\n"),
        Write("mg k N10 v\r\n"),
        Write("mg k T10\r\n", after: item),
        Write("ma k N10\r\n"),
        Write("ma k T10\r\n", after: item),
        Write("md k I T10\r\n", after: item),
        // set, add, replace, incr that creates, touch, gat
        Write(opcode: 0x01, extras: [0, 0, 0, 0, 0, 0, 0, 10], value: "7"),
        Write(opcode: 0x02, extras: [0, 0, 0, 0, 0, 0, 0, 10], value: "7"),
        Write(opcode: 0x03, extras: [0, 0, 0, 0, 0, 0, 0, 10], value: "7", after: item),
        Write(opcode: 0x05, extras: [UInt8](repeating: 0, count: 19) + [10], value: ""),
        Write(opcode: 0x1c, extras: [0, 0, 0, 10], value: "", after: item),
        Write(opcode: 0x1d, extras: [0, 0, 0, 10], value: "", after: item),
    ]

    private func ask(_ server: InProcessServer, _ request: String) -> String {
        String(decoding: InProcessConnection(server).receive(Array(request.utf8)), as: UTF8.self)
    }

    @Test(arguments: writes)
    func countsFromTheWrite(_ write: Write) throws {
        let server = try InProcessServer(settings: Settings())
        _ = ask(server, write.before)
        let begin = server.nowMilliseconds
        server.advanceClock(millisecondsPerLook: 700)
        let answer = InProcessConnection(server).receive(write.request)
        server.advanceClock(millisecondsPerLook: 0)
        server.advanceClock(milliseconds: begin + 10_699 - server.nowMilliseconds)
        #expect(ask(server, "mg k\r\n").hasPrefix("HD"), "after \(answer)")
        server.advanceClock(milliseconds: 1)
        #expect(ask(server, "mg k\r\n") == "EN\r\n")
        #expect(server.checkInvariants() == [])
    }

    /// Later writes of a turn live longer: the clock is read at least once for sixteen sets.
    @Test func countsFromTheWriteOfEach() throws {
        let server = try InProcessServer(settings: Settings())
        let begin = server.nowMilliseconds
        server.advanceClock(millisecondsPerLook: 100)
        _ = ask(server, (0..<64).map { "set k\($0) 0 10 1\r\n7\r\n" }.joined())
        server.advanceClock(millisecondsPerLook: 0)
        server.advanceClock(milliseconds: begin + 10_399 - server.nowMilliseconds)
        #expect(ask(server, "mg k0\r\n") == "EN\r\n")
        #expect(ask(server, "mg k63\r\n") == "HD\r\n")
    }

    /// A get uses the time of the write before it: an item that has expired by then is a miss.
    @Test func timeNeverGoesBackInATurn() throws {
        let server = try InProcessServer(settings: Settings())
        server.advanceClock(millisecondsPerLook: 1000)
        let answer = ask(server, "add a 0 1 1\r\nx\r\nget a\r\nadd b 0 100 1\r\ny\r\nget a b\r\nmg a\r\n")
        #expect(answer == "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nSTORED\r\nVALUE b 0 1\r\ny\r\nEND\r\nEN\r\n")
    }
}
