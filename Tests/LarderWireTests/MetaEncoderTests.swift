import Testing

@testable import LarderWire

/// The answers of the meta commands.
@Suite struct MetaEncoderTests {
    private let key = Array("key".utf8)

    private func text(
        _ flags: String, _ encode: (UnsafePointer<UInt8>, Int, MetaFacts, UnsafeMutablePointer<UInt8>) -> Int
    ) -> String {
        var out = [UInt8](repeating: 0xFF, count: MetaEncoder.answerLengthMax)
        let flags = Array(flags.utf8) + [UInt8(ascii: "\r")]
        let count = out.withUnsafeMutableBufferPointer { out in
            flags.withUnsafeBufferPointer { flags in
                key.withUnsafeBufferPointer { key in
                    var facts = MetaFacts(key: key.baseAddress!, keyLength: key.count)
                    (facts.valueLength, facts.clientFlags, facts.cas) = (12, 34, 56)
                    (facts.secondsLeft, facts.secondsLeftTouched, facts.secondsLeftVivified) = (7, 8, Int64.max)
                    (facts.secondsSinceAccess, facts.wasFetched) = (9, true)
                    return encode(flags.baseAddress!, flags.count - 1, facts, out.baseAddress!)
                }
            }
        }
        return String(decoding: out[..<count], as: UTF8.self)
    }

    private func retrieval(_ flags: String, withValue: Bool = false, _ change: (inout MetaFacts) -> Void = { _ in })
        -> String
    {
        text(flags) { flags, length, facts, out in
            var facts = facts
            change(&facts)
            return MetaEncoder.encodeRetrieval(facts, withValue: withValue, flags: flags, flagsLength: length, at: out)
        }
    }

    @Test func retrievals() {
        #expect(retrieval("") == "HD\r\n")
        #expect(retrieval("v", withValue: true) == "VA 12\r\n")
        #expect(retrieval("s f c h l k t Oabc") == "HD s12 f34 c56 h1 l9 kkey t7 Oabc\r\n")
        #expect(retrieval("Oabc  t   k") == "HD Oabc t7 kkey\r\n")
        #expect(retrieval("t T8") == "HD t7\r\n")
        #expect(retrieval("T8 t") == "HD t8\r\n")
        #expect(retrieval("N0 t") == "HD t7\r\n")
        #expect(retrieval("N0 t") { $0.isCreated = true } == "HD t-1\r\n")
        #expect(retrieval("q u v R5 P L I x b E5 C5") == "HD\r\n")
        #expect(retrieval("k") { $0.keyIsBinary = true } == "HD ka2V5 b\r\n")
        #expect(retrieval("s") { ($0.isWinSent, $0.isStale) = (true, true) } == "HD s12 Z X\r\n")
        #expect(retrieval("") { ($0.isWon, $0.isStale) = (true, true) } == "HD X W\r\n")
    }

    @Test func otherAnswers() {
        let stored = text("c s k t v Ox") { MetaEncoder.encodeStorage(.done, $2, flags: $0, flagsLength: $1, at: $3) }
        #expect(stored == "HD c56 s12 kkey Ox\r\n")
        let deleted = text("c s k t v Ox") { MetaEncoder.encodeCode(.notFound, $2, flags: $0, flagsLength: $1, at: $3) }
        #expect(deleted == "NF kkey Ox\r\n")
        let counted = text("v t T8 c k s") {
            MetaEncoder.encodeArithmetic(1234, $2, flags: $0, flagsLength: $1, at: $3)
        }
        #expect(counted == "VA 4 t7 c56 kkey\r\n1234\r\n")
        let silent = text("t") { MetaEncoder.encodeArithmetic(nil, $2, flags: $0, flagsLength: $1, at: $3) }
        #expect(silent == "HD t7\r\n")
        let debug = text("") { MetaEncoder.encodeDebug($2, itemBytes: 99, at: $3) }
        #expect(debug == "ME key exp=7 la=9 cas=56 fetch=yes cls=1 size=99\r\n")
    }

    @Test(arguments: [(MetaCode.done, "HD"), (.miss, "EN"), (.notFound, "NF"), (.notStored, "NS"), (.exists, "EX")])
    func codes(code: MetaCode, word: String) {
        #expect(text("") { MetaEncoder.encodeCode(code, $2, flags: $0, flagsLength: $1, at: $3) } == word + "\r\n")
    }

    /// The longest that any answer can be stays within the room that is made for it.
    @Test func theLongestAnswerFits() {
        let key = [UInt8](repeating: 0xFF, count: 255)
        let flags = Array(("s f c h l k t O" + String(repeating: "o", count: 31)).utf8)
        var out = [UInt8](repeating: 0, count: 2048)
        let count = out.withUnsafeMutableBufferPointer { out in
            flags.withUnsafeBufferPointer { flags in
                key.withUnsafeBufferPointer { key in
                    var facts = MetaFacts(key: key.baseAddress!, keyLength: key.count)
                    facts.keyIsBinary = true
                    (facts.valueLength, facts.clientFlags, facts.cas) = (Int.max, .max, .max)
                    (facts.secondsLeft, facts.secondsSinceAccess) = (Int64.max - 1, Int.max)
                    (facts.isStale, facts.isWinSent, facts.isWon) = (true, true, true)
                    return MetaEncoder.encodeRetrieval(
                        facts, withValue: true, flags: flags.baseAddress!, flagsLength: flags.count,
                        at: out.baseAddress!)
                }
            }
        }
        #expect(count <= MetaEncoder.answerLengthMax)
    }
}
