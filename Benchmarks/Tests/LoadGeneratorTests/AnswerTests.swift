import Testing

@testable import LoadGenerator

/// Good answers, cut anywhere, and answers that are wrong.
struct AnswerTests {
    static let dialects = ["text", "meta", "binary"]
    /// A set, a hit and a miss.
    private static let three = "--ratio 1:2 --pipeline 3 -n 3"
    /// A get of three keys of which the second is not there.
    private static let several = "--ratio 0:3 --multi-key-get 3 -n 1"

    private func three(_ dialect: String, _ value: [UInt8]) -> [UInt8] {
        switch dialect {
        case "text":
            bytes("STORED\r\nVALUE memtier-5 0 \(value.count)\r\n".utf8, value, "\r\nEND\r\nEND\r\n".utf8)
        case "meta": bytes("HD\r\nVA \(value.count)\r\n".utf8, value, "\r\nEN\r\n".utf8)
        default:
            bytes(
                binary(0x81, 1, opaque: 0), binary(0x81, 0, opaque: 1, extras: [0, 0, 0, 0], value: value),
                binary(0x81, 0, status: 1, opaque: 2, value: Array("Not found".utf8)))
        }
    }

    private func several(_ dialect: String, _ first: [UInt8], _ last: [UInt8]) -> [UInt8] {
        switch dialect {
        case "text":
            bytes(
                "VALUE memtier-5 0 10\r\n".utf8, first, "\r\nVALUE memtier-7 0 10\r\n".utf8, last,
                "\r\nEND\r\n".utf8)
        case "meta":
            bytes(
                "VA 10 kmemtier-5\r\n".utf8, first, "\r\nVA 10 kmemtier-7\r\n".utf8, last, "\r\nMN\r\n".utf8)
        default:
            bytes(
                binary(0x81, 9, opaque: 0, extras: [0, 0, 0, 0], value: first),
                binary(0x81, 9, opaque: 2, extras: [0, 0, 0, 0], value: last), binary(0x81, 10, opaque: 0))
        }
    }

    @Test(arguments: dialects) func answersCutAtEveryByte(dialect: String) throws {
        let values = ValueSource(keyPrefix: "memtier-", longest: 100)
        let answer = three(dialect, storedValue(values, 5, 10))
        for cut in 1..<answer.count {
            var talk = try Talk("-P \(dialect) \(Self.three)")
            talk.begin()
            talk.answer(Array(answer[..<cut]))
            talk.answer(Array(answer[cut...]))
            let (totals, fault, active) = (talk.worker.totals, talk.worker.fault, talk.worker.active)
            #expect(fault == nil && active == 0, "cut at \(cut)")
            #expect(totals.setLatency.count == 1 && totals.getLatency.count == 2, "cut at \(cut)")
            #expect(totals.hits == 1 && totals.misses == 1 && totals.errors == 0, "cut at \(cut)")
            #expect(totals.bytesReceived == UInt64(answer.count))
        }
    }

    /// A value whose client flags are not those that were asked for is a fault.
    @Test(arguments: dialects) func clientFlagsAreCompared(dialect: String) throws {
        for flags in [258, 259] {
            var talk = try Talk("-P \(dialect) --ratio 0:1 -n 1 --client-flags 258")
            talk.begin()
            let value = talk.value(5)
            switch dialect {
            case "text": talk.answer(bytes("VALUE memtier-5 \(flags) 10\r\n".utf8, value, "\r\nEND\r\n".utf8))
            case "meta": talk.answer(bytes("VA 10 f\(flags)\r\n".utf8, value, "\r\n".utf8))
            default:
                talk.answer(binary(0x81, 0, opaque: 0, extras: [0, 0, 1, UInt8(flags & 0xff)], value: value))
            }
            let (totals, fault) = (talk.worker.totals, talk.worker.fault)
            #expect((fault == nil && totals.errors == 0 && totals.hits == 1) == (flags == 258), "\(flags)")
        }
    }

    @Test(arguments: dialects) func manyKeysByteByByte(dialect: String) throws {
        var talk = try Talk("-P \(dialect) \(Self.several)")
        talk.begin()
        for byte in several(dialect, talk.value(5), talk.value(7)) {
            let active = talk.worker.active
            #expect(active == 1)
            talk.answer([byte])
        }
        let (totals, fault, active) = (talk.worker.totals, talk.worker.fault, talk.worker.active)
        #expect(fault == nil && active == 0)
        #expect(totals.hits == 2 && totals.misses == 1 && totals.getLatency.count == 1)
    }

    /// Each byte of an answer matters, but those that a checker cannot know: cas and a miss's text.
    @Test(arguments: dialects) func everyWrongByteShows(dialect: String) throws {
        let values = ValueSource(keyPrefix: "memtier-", longest: 100)
        let answer = several(dialect, storedValue(values, 5, 10), storedValue(values, 7, 10))
        let free = dialect == "binary" ? [0, 38, 76].flatMap { Array($0 + 16..<$0 + 24) } : []
        for index in answer.indices where !free.contains(index) {
            var wrong = answer
            wrong[index] ^= 1
            var talk = try Talk("-P \(dialect) \(Self.several)")
            talk.begin()
            talk.answer(wrong)
            let (totals, fault, active) = (talk.worker.totals, talk.worker.fault, talk.worker.active)
            // A length or an end that is wrong may leave it waiting; it must never be taken for right.
            let isRight = fault == nil && active == 0 && totals.errors == 0 && totals.hits == 2
            #expect(!isRight, "byte \(index) of \(answer.count)")
        }
    }

    @Test(arguments: dialects) func anotherKeysValueShows(dialect: String) throws {
        var talk = try Talk("-P \(dialect) \(Self.three)")
        talk.begin()
        talk.answer(three(dialect, talk.value(6)))
        let fault = talk.worker.fault ?? "none"
        #expect(fault.hasPrefix("wrong value: key memtier-5, 10 bytes"), "\(fault)")
    }

    @Test(arguments: dialects) func cutAndEmptyValuesShow(dialect: String) throws {
        for length in [0, 9] {
            var talk = try Talk("-P \(dialect) \(Self.three)")
            talk.begin()
            talk.answer(three(dialect, Array(talk.value(5).prefix(length))))
            let fault = talk.worker.fault ?? "none"
            #expect(fault.hasPrefix("wrong value"), "\(fault)")
        }
    }

    @Test(arguments: dialects) func unlessNotAsked(dialect: String) throws {
        var talk = try Talk("-P \(dialect) \(Self.three) --no-verify")
        talk.begin()
        talk.answer(three(dialect, talk.value(6)))
        let (totals, fault) = (talk.worker.totals, talk.worker.fault)
        #expect(fault == nil && totals.hits == 1)
    }

    @Test(
        arguments: [
            ("text", "END\r\n"), ("text", "STORED\r\nVALUE memtier-6 0 10\r\n"),
            ("text", "STORED\r\nSTORED\r\n"),
            ("text", "STORED\r\nVALUE memtier-5 1 10\r\n"), ("text", "HD\r\n"), ("text", "NOT_STORED\r\n"),
            ("text", "STORED\r\nEND\r\nEND\r\nEND\r\n"), ("meta", "EN\r\n"), ("meta", "HD\r\nMN\r\n"),
            ("meta", "HD\r\nVA x\r\n"), ("meta", "HD\r\nVA 10 kmemtier-6\r\n"), ("meta", "STORED\r\n"),
        ])
    func linesThatDoNotFit(dialect: String, answer: String) throws {
        var talk = try Talk("-P \(dialect) \(Self.three)")
        talk.begin()
        talk.answer(Array(answer.utf8))
        let fault = talk.worker.fault
        #expect(fault != nil)
    }

    @Test func binaryHeadsThatDoNotFit() throws {
        let wrong = [
            binary(0x80, 1, opaque: 0), binary(0x81, 0, opaque: 0), binary(0x81, 1, opaque: 1),
            binary(0x81, 1, opaque: 0, value: [1]),
            binary(0x81, 1, opaque: 0) + binary(0x81, 0, opaque: 1, extras: [0, 0, 0, 1], value: [1]),
            binary(0x81, 1, opaque: 0) + binary(0x81, 0, opaque: 1, extras: [0, 0, 0, 0], key: "memtier-5"),
            binary(0x81, 1, opaque: 0) + binary(0x81, 0, opaque: 2, extras: [0, 0, 0, 0]),
            binary(0x81, 1, status: 0x82, opaque: 0, value: [UInt8](repeating: 65, count: 600)),
        ]
        for (index, answer) in wrong.enumerated() {
            var talk = try Talk("-P binary \(Self.three)")
            talk.begin()
            talk.answer(answer)
            let fault = talk.worker.fault
            #expect(fault != nil, "number \(index)")
        }
    }

    @Test(arguments: dialects) func errorsAreCountedAndTheFirstIsKept(dialect: String) throws {
        var talk = try Talk("-P \(dialect) \(Self.three)")
        talk.begin()
        talk.answer(
            dialect == "binary"
                ? bytes(
                    binary(0x81, 1, status: 0x82, opaque: 0, value: Array("Out of memory".utf8)),
                    binary(0x81, 0, status: 1, opaque: 1), binary(0x81, 0, status: 1, opaque: 2))
                : Array("SERVER_ERROR Out of memory\r\nERROR\r\nEN\(dialect == "text" ? "D" : "")\r\n".utf8))
        let (totals, fault, active) = (talk.worker.totals, talk.worker.fault, talk.worker.active)
        #expect(fault == nil && active == 0)
        #expect(totals.errors == (dialect == "binary" ? 1 : 2))
        #expect(totals.firstError?.contains("Out of memory") == true)
    }

    /// One of several quiet gets that fails does not end them.
    @Test func errorsOfQuietGets() throws {
        var meta = try Talk("-P meta \(Self.several)")
        meta.begin()
        meta.answer(bytes("SERVER_ERROR x\r\nVA 10 kmemtier-7\r\n".utf8, meta.value(7), "\r\nMN\r\n".utf8))
        var binaryTalk = try Talk("-P binary \(Self.several)")
        binaryTalk.begin()
        binaryTalk.answer(
            bytes(
                binary(0x81, 9, status: 0x82, opaque: 0, value: [65]),
                binary(0x81, 9, opaque: 2, extras: [0, 0, 0, 0], value: binaryTalk.value(7)),
                binary(0x81, 10, opaque: 0)))
        for (totals, active) in [
            (meta.worker.totals, meta.worker.active), (binaryTalk.worker.totals, binaryTalk.worker.active),
        ] {
            #expect(active == 0 && totals.errors == 1 && totals.hits == 1)
        }
    }

    @Test func aServerThatHangsUpEndsTheRun() throws {
        var talk = try Talk("-n 5")
        talk.begin()
        talk.hangUp()
        let fault = talk.worker.fault
        #expect(fault == "the server closed a connection" || fault?.contains("reset") == true)
    }
}
