import Testing

@testable import LarderWire

/// Lines of the meta commands, and what becomes of their flags.
@Suite struct TextParserMetaTests {
    @Test func flagsThatThereAre() {
        let letters = "bcfhklqstuvxCDEFIJLMNOPRT".utf8
        #expect(letters.reduce(0 as UInt64) { $0 | 1 << UInt64($1 - 64) } == TextParser.knownFlags)
        for letter in UInt8(ascii: "!")...UInt8(ascii: "~") {
            // Those with a number, a mode or base64 want one.
            let argument = "CDEFJNRT".utf8.contains(letter) ? "1" : letter == UInt8(ascii: "M") ? "S" : ""
            let step = TextScript.steps("mg a2V5 \(UnicodeScalar(letter))\(argument)\r\n")[0]
            #expect(step.hasPrefix(letters.contains(letter) ? "metaGet a2V5" : "reject invalidFlag"), "\(step)")
        }
    }

    @Test(arguments: [
        ("mg k\r\n", "metaGet k"),
        ("mg  k  v   s \r\n", "metaGet k [v   s ]"),
        ("mg k v f k\n", "metaGet k [v f k]"),
        (
            "mg k T30 t C5 N60 R10 E7 F9\r\n",
            "metaGet k exptime=30 cas=5 flags=9 vivify=60 recache=10 newCas=7 recacheFollowsTouch [T30 t C5 N60 R10 E7 F9]"
        ),
        ("mg k N60 T30\r\n", "metaGet k exptime=30 vivify=60 touchIsLast [N60 T30]"),
        ("mg k R10 T30\r\n", "metaGet k exptime=30 recache=10 touchIsLast [R10 T30]"),
        ("mg k T-1\r\n", "metaGet k exptime=-1 touchIsLast [T-1]"),
        ("mg k T+5\r\n", "metaGet k exptime=5 touchIsLast [T+5]"),
        ("mg a2V5 b k\r\n", "metaGet a2V5 decoded=3 [b k]"),
        ("md k I T30 q\r\n", "metaDelete k exptime=30 touchIsLast [I T30 q]"),
        ("ma k\r\n", "metaArithmetic k delta=1"),
        ("ma k D5 J7 N0 MD\r\n", "metaArithmetic k delta=5 initial=7 mode=D [D5 J7 N0 MD]"),
        ("ma k D18446744073709551615\r\n", "metaArithmetic k delta=-1 [D18446744073709551615]"),
        ("me k\r\n", "metaDebug k"),
        ("me k nonsense\r\n", "metaDebug k"),
        ("me a2V5 b\r\n", "metaDebug a2V5 decoded=3"),
        ("mn\r\n", "noOperation"),
        ("mn whatever it is\r\n", "noOperation"),
        ("ms k 2\r\nhi\r\n", "metaStore k value=hi"),
        (
            "ms k 2 F5 T30 MA Oabc\r\nhi\r\n",
            "metaStore k exptime=30 flags=5 mode=A touchIsLast [F5 T30 MA Oabc] value=hi"
        ),
        ("ms k 0\r\n\r\n", "metaStore k value="),
        ("ms k -0 q\r\n\r\n", "metaStore k [q] value="),
    ])
    func lines(input: String, step: String) {
        let bytes = Array(input.utf8)
        #expect(TextScript.steps(bytes) == [step])
        for cut in 0...bytes.count { #expect(TextScript.steps(bytes, cuts: [cut]) == [step], "cut \(cut)") }
    }

    @Test(arguments: [
        ("mg\r\n", "badCommandLine"), ("mg \r\n", "badCommandLine"), ("ms k\r\n", "badCommandLine"),
        ("ms k x\r\n", "badCommandLine"), ("ms k 2147483646\r\n", "badCommandLine"), ("ma\r\n", "badCommandLine"),
        ("mx k\r\n", "unknownCommand"), (" mg k\r\n", "unknownCommand"), ("MG k\r\n", "unknownCommand"),
        ("mg k z\r\n", "invalidFlag"), ("mg k v v\r\n", "duplicateFlag"), ("mg k \u{7f}\r\n", "duplicateFlag"),
        ("mg k T\r\n", "badToken"), ("mg k T2147483648\r\n", "badToken"), ("mg k C-1\r\n", "badToken"),
        ("mg k E\r\n", "badToken"), ("mg k F4294967296\r\n", "badCommandLine"), ("mg k D\r\n", "invalidDeltaValue"),
        ("mg k J\r\n", "invalidInitialValue"), ("mg a2V b\r\n", "badBase64Key"),
        ("ma k Tx\r\n", "invalidOrDuplicateFlag"), ("ma k MX\r\n", "invalidArithmeticMode"),
        ("ms k 2 MX\r\nhi\r\n", "invalidStoreMode"), ("me a2V b\r\n", "badCommandLine"),
        ("mg k O\(String(repeating: "o", count: 32))\r\n", "opaqueTooLong"),
    ])
    func wrongLines(input: String, reply: String) {
        let bytes = Array(input.utf8)
        #expect(TextScript.steps(bytes) == ["reject \(reply)"])
        for cut in 0...bytes.count {
            #expect(TextScript.steps(bytes, cuts: [cut]) == ["reject \(reply)"], "cut \(cut)")
        }
    }

    /// Whatever is wrong with an `ms` whose length can be read, its value is no command.
    @Test(arguments: ["Z", "v v", "Tx", "MX", "b", "O\(String(repeating: "o", count: 40))"])
    func aWrongStoreTakesItsValueWithIt(flags: String) {
        let steps = TextScript.steps("ms k 4 \(flags)\r\nquit\r\nmn\r\n")
        #expect(steps.count == 2 && steps[0].hasPrefix("reject ") && steps[1] == "noOperation")
    }

    @Test func twentyWordsAreEnough() {
        let flags = ["b", "c", "f", "h", "k", "l", "q", "s", "t", "u", "v", "x", "I", "O", "P", "L", "C1", "T1", "N1"]
        func line(_ head: String, _ count: Int) -> String { ([head] + flags[..<count]).joined(separator: " ") + "\r\n" }
        #expect(TextScript.steps(line("mg a2V5", 18))[0].hasPrefix("metaGet"))
        #expect(TextScript.steps(line("mg a2V5", 19)) == ["reject tooManyFlags"])
        #expect(TextScript.steps(line("ma a2V5", 19)) == ["reject invalidOrDuplicateFlag"])
        #expect(TextScript.steps(line("ms a2V5 0", 17) + "\r\n")[0].hasPrefix("metaStore"))
        #expect(TextScript.steps(line("ms a2V5 0", 18) + "\r\n") == ["reject tooManyFlags"])
    }
}
