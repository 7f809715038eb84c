import Testing

@testable import LoadGenerator

/// What comes before the first request, and between two connections.
struct OpeningTests {
    @Test func theLoginOfEachProtocol() throws {
        for dialect in ["text", "meta"] {
            let talk = try Talk("-P \(dialect) -a me:se:cret")
            #expect(talk.received() == bytes("set auth 0 0 10\r\nme se:cret\r\n".utf8))
        }
        let talk = try Talk("-P binary -a me:se:cret")
        let secret = bytes([0], "me".utf8, [0], "se:cret".utf8)
        #expect(talk.received() == binary(0x80, 0x21, opaque: 0, key: "PLAIN", value: secret))
    }

    private func accepted(_ dialect: String) -> [UInt8] {
        dialect == "binary"
            ? binary(0x81, 0x21, opaque: 0, value: Array("Authenticated".utf8)) : Array("STORED\r\n".utf8)
    }

    @Test(arguments: ["text", "meta", "binary"]) func theLoginsAnswerCutAtEveryByte(dialect: String) throws {
        let answer = accepted(dialect)
        for cut in 1..<answer.count {
            var talk = try Talk("-P \(dialect) -a me:secret --ratio 0:1")
            _ = talk.received()
            talk.answer(Array(answer[..<cut]))
            let opening = talk.worker.opening
            #expect(opening == 1, "cut at \(cut)")
            talk.answer(Array(answer[cut...]))
            let (after, fault) = (talk.worker.opening, talk.worker.fault)
            #expect(after == 0 && fault == nil, "cut at \(cut)")
            // Not a byte of a request before the run begins, and nothing of the login is counted.
            #expect(talk.received(isOptional: true).isEmpty)
            talk.begin()
            #expect(!talk.received().isEmpty)
            let requests = talk.worker.totals.requests
            #expect(requests == 0)
        }
    }

    @Test func aWrongPasswordEndsTheRun() throws {
        for (dialect, answer) in [
            ("text", Array("CLIENT_ERROR authentication failure\r\n".utf8)),
            ("binary", binary(0x81, 0x21, status: 0x20, opaque: 0, value: Array("Auth failure".utf8))),
        ] {
            var talk = try Talk("-P \(dialect) -a me:secret")
            talk.answer(answer)
            let fault = talk.worker.fault ?? "none"
            #expect(
                fault.hasPrefix("the server refused the password: ") && fault.hasSuffix("failure"), "\(fault)"
            )
        }
    }

    @Test func aNewConnectionAfterEachInterval() throws {
        var talk = try Talk("--ratio 0:1 --reconnect-interval 2 -n 5")
        talk.begin()
        var seen: [UInt8] = []
        for number in 0..<5 {
            seen += talk.received()
            talk.answer(Array("END\r\n".utf8))
            if number == 1 || number == 3 {
                // The old one is closed.
                #expect(talk.received().isEmpty)
                talk.accept()
            }
        }
        #expect(seen == bytes((5...9).map { "get memtier-\($0)\r\n" }.joined().utf8))
        let (active, reconnections, fault) = (
            talk.worker.active, talk.worker.totals.reconnections, talk.worker.fault
        )
        #expect(active == 0 && reconnections == 2 && fault == nil)
    }

    /// A batch is cut where the connection ends, and its latency begins before the new connection.
    @Test func connectingIsPartOfTheLatency() throws {
        var talk = try Talk("--ratio 0:1 --reconnect-interval 3 --pipeline 2 -n 6")
        talk.worker.clock.standsAt = 1_000
        talk.begin()
        #expect(talk.received() == bytes("get memtier-5\r\nget memtier-6\r\n".utf8))
        talk.answer(Array("END\r\nEND\r\n".utf8))
        #expect(talk.received() == bytes("get memtier-7\r\n".utf8))
        talk.worker.clock.standsAt = 5_000
        talk.answer(Array("END\r\n".utf8))
        talk.accept()
        #expect(talk.received() == bytes("get memtier-8\r\nget memtier-9\r\n".utf8))
        talk.worker.clock.standsAt = 7_000
        talk.answer(Array("END\r\nEND\r\n".utf8))
        let latency = talk.worker.totals.getLatency
        #expect(latency.sum == 0 + 0 + 4_000 + 2_000 + 2_000 && latency.maximum == 4_000)
    }

    /// So is the password, and whatever else comes before the request.
    @Test func theLoginIsPartOfTheLatency() throws {
        var talk = try Talk("--ratio 0:1 --reconnect-interval 1 -n 2 -a me:secret")
        talk.worker.clock.standsAt = 1_000
        _ = talk.received()
        talk.answer(accepted("text"))
        talk.begin()
        talk.answer(Array("END\r\n".utf8))
        talk.accept()
        #expect(talk.received() == bytes("set auth 0 0 9\r\nme secret\r\n".utf8))
        talk.worker.clock.standsAt = 4_000
        talk.answer(accepted("text"))
        #expect(talk.received() == bytes("get memtier-6\r\n".utf8))
        talk.worker.clock.standsAt = 6_000
        talk.answer(Array("END\r\n".utf8))
        let latency = talk.worker.totals.getLatency
        #expect(latency.count == 2 && latency.sum == 5_000)
    }

    /// Bytes for which the socket has no room go out later, in order.
    @Test func whatTheSocketDoesNotTakeFollows() throws {
        var talk = try Talk("--ratio 1:0 --pipeline 64 -n 64 -d 50000")
        talk.begin()
        var seen: [UInt8] = []
        while seen.count < 64 * 50_000 {
            seen += talk.received()
            talk.turn()
        }
        var wanted: [UInt8] = []
        for key in UInt64(5)..<69 {
            wanted += bytes("set memtier-\(key) 0 0 50000\r\n".utf8, talk.value(key, 50_000), "\r\n".utf8)
        }
        while seen.count < wanted.count { seen += talk.received() }
        #expect(seen.count == wanted.count && seen.elementsEqual(wanted))
        talk.answer(bytes(String(repeating: "STORED\r\n", count: 64).utf8))
        let (active, sent) = (talk.worker.active, talk.worker.totals.bytesSent)
        #expect(active == 0 && sent == UInt64(wanted.count))
    }
}
