internal import CLarderWire
import Glibc

/// What an answer may say of the item, whichever flags ask for it.
///
/// What is expensive to find out is filled in only where a flag asks.
package struct MetaFacts {
    /// The key as the item has it, not in base64.
    package var key: UnsafePointer<UInt8>
    package var keyLength: Int
    /// The key is given back in base64.
    package var keyIsBinary = false
    package var valueLength = 0
    package var clientFlags: UInt32 = 0
    package var cas: UInt64 = 0
    /// Seconds left to live, at the beginning, and once `T` and `N` have had their effect; `Int64.max`:
    /// never dies. A command that has no such effect leaves the latter as the former.
    package var secondsLeft = Int64.max
    package var secondsLeftTouched = Int64.max
    package var secondsLeftVivified = Int64.max
    package var secondsSinceAccess = 0
    package var wasFetched = false
    package var isStale = false
    /// Somebody else makes the value anew.
    package var isWinSent = false
    /// This client is to make the value anew.
    package var isWon = false
    /// The request made the item.
    package var isCreated = false

    package init(key: UnsafePointer<UInt8>, keyLength: Int) {
        self.key = key
        self.keyLength = keyLength
    }
}

/// The first word of a meta answer, two letters, first byte lowest.
package enum MetaCode: UInt16, Sendable {
    case done = 0x44_48  // HD
    case miss = 0x4e_45  // EN
    case notFound = 0x46_4e  // NF
    case notStored = 0x53_4e  // NS
    case exists = 0x58_45  // EX
}

/// Writes the answers of the meta commands.
///
/// Every function writes at `out`, where the caller has made room for `answerLengthMax` bytes, and
/// returns the number of bytes written.
package enum MetaEncoder {
    /// Room for the longest answer but for its value: at most 18 flags answer, of which the key has up
    /// to 255 bytes, the opaque 32, and any other 22.
    @inlinable @inline(__always)
    package static var answerLengthMax: Int { 768 }

    /// Letters that `mg`, `ms`, `md` and `ma` answer; what they leave out is passed over.
    private static var answersOfGet: UInt64 { 0x0018_1948_0010_c000 }
    private static var answersOfStore: UInt64 { 0x0008_0808_0000_8000 }
    private static var answersOfDelete: UInt64 { 0x0000_0800_0000_8000 }
    private static var answersOfArithmetic: UInt64 { 0x0010_0808_0010_c000 }

    // MARK: Whole lines

    /// `HD` or `VA <length>`, and what the flags of an `mg` ask, and then what they do not ask: `Z`,
    /// `X`, `W`.
    package static func encodeRetrieval(
        _ facts: borrowing MetaFacts, withValue: Bool, flags: UnsafePointer<UInt8>, flagsLength: Int,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var length = withValue ? beginValue(facts.valueLength, out) : begin(.done, out)
        length = append(flags, flagsLength, facts, answersOfGet, out, length)
        if facts.isWinSent { length = append(UInt8(ascii: "Z"), out, length) }
        if facts.isStale { length = append(UInt8(ascii: "X"), out, length) }
        if facts.isWon { length = append(UInt8(ascii: "W"), out, length) }
        return endLine(out, length)
    }

    /// A value, and what the flags of a plain `mg` ask for.
    ///
    /// - Parameters:
    ///   - keyLength: at most 250.
    ///   - asked: what the line wants to be told.
    ///   - line: what `asked` counts from.
    ///   - out: room for `valueLength` bytes and `answerLengthMax` more.
    package static func encodePlainValue(
        key: UnsafeRawPointer, keyLength: Int, clientFlags: UInt32, cas: UInt64, value: UnsafeRawPointer,
        valueLength: Int, asked: UnsafePointer<RetrievalKey>, line: UnsafePointer<UInt8>,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: the parser has seen that no letter comes twice and that the opaque is short: as `append`.
        let letters = asked.pointee.told.letters
        guard letters == 0 || letters == UInt32(UInt8(ascii: "k")) else {
            // With the same parameters, so that the call is a jump.
            return encodeToldValue(
                key: key, keyLength: keyLength, clientFlags: clientFlags, cas: cas, value: value,
                valueLength: valueLength, asked: asked, line: line, at: out)
        }
        var length = beginPlainValue(valueLength, out)
        if letters != 0 {
            length = endLine(out, appendPlainKey(key, keyLength, out, length)) &- 2
        }
        return endPlainValue(value, valueLength, out, length)
    }

    /// As above, of a line that asks for more than the key.
    @inline(never)
    private static func encodeToldValue(
        key: UnsafeRawPointer, keyLength: Int, clientFlags: UInt32, cas: UInt64, value: UnsafeRawPointer,
        valueLength: Int, asked: UnsafePointer<RetrievalKey>, line: UnsafePointer<UInt8>,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var letters = asked.pointee.told.letters
        var length = beginPlainValue(valueLength, out)
        repeat {
            if letters & 0xff == UInt32(UInt8(ascii: "k")) {
                length = appendPlainKey(key, keyLength, out, length)
            } else if letters & 0xff == UInt32(UInt8(ascii: "f")) {
                length = append(UInt8(ascii: "f"), out, length)
                length &+= DecimalText.writeFlags(clientFlags, at: out + length)
            } else {
                length = appendOther(letters, asked, line, key, keyLength, clientFlags, cas, valueLength, out, length)
                break
            }
            letters &>>= 8
        } while letters != 0
        _ = endLine(out, length)
        return endPlainValue(value, valueLength, out, length)
    }

    /// `VA <length>`, and a line end that is not counted.
    @inline(__always)
    private static func beginPlainValue(_ valueLength: Int, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        // "VA "
        UnsafeMutableRawPointer(out).storeBytes(of: UInt32(0x20_41_56).littleEndian, as: UInt32.self)
        return 3 &+ DecimalText.writeLine(valueLength, at: out + 3)
    }

    @inline(__always)
    private static func appendPlainKey(
        _ key: UnsafeRawPointer, _ keyLength: Int, _ out: UnsafeMutablePointer<UInt8>, _ start: Int
    ) -> Int {
        let length = append(UInt8(ascii: "k"), out, start)
        larder_copy_key(out + length, key, keyLength)
        return length &+ keyLength
    }

    /// The value behind a line of `length` bytes, whose end is there.
    @inline(__always)
    private static func endPlainValue(
        _ value: UnsafeRawPointer, _ valueLength: Int, _ out: UnsafeMutablePointer<UInt8>, _ length: Int
    ) -> Int {
        // The end before the value, so that nothing is left to do behind the call.
        let end = endLine(out, length &+ 2 &+ valueLength)
        memcpy(out + (length &+ 2), value, valueLength)
        return end
    }

    /// Answers the flags of a plain `mg` from the first one that is neither `k` nor `f`.
    /// - Parameter told: the letters of these flags, the first in the lowest byte.
    @inline(never)
    private static func appendOther(
        _ told: UInt32, _ asked: UnsafePointer<RetrievalKey>, _ line: UnsafePointer<UInt8>, _ key: UnsafeRawPointer,
        _ keyLength: Int, _ clientFlags: UInt32, _ cas: UInt64, _ valueLength: Int,
        _ out: UnsafeMutablePointer<UInt8>, _ start: Int
    ) -> Int {
        if asked.pointee.told.areInLine {
            var facts = MetaFacts(key: key.assumingMemoryBound(to: UInt8.self), keyLength: keyLength)
            facts.valueLength = valueLength
            facts.clientFlags = clientFlags
            facts.cas = cas
            return append(
                line + asked.pointee.flagsStart, Int(asked.pointee.flagsLength), facts, answersOfGet, out, start)
        }
        var (letters, length) = (told, start)
        repeat {
            let letter = UInt8(truncatingIfNeeded: letters)
            letters &>>= 8
            length = append(letter, out, length)
            guard letter != UInt8(ascii: "k") else {
                larder_copy_key(out + length, key, keyLength)
                length &+= keyLength
                continue
            }
            let number =
                letter == UInt8(ascii: "f")
                ? UInt64(clientFlags) : letter == UInt8(ascii: "s") ? UInt64(truncatingIfNeeded: valueLength) : cas
            length &+= DecimalText.write(number, at: out + length)
        } while letters != 0
        return length
    }

    /// The answer to `ms`.
    package static func encodeStorage(
        _ code: MetaCode, _ facts: borrowing MetaFacts, flags: UnsafePointer<UInt8>, flagsLength: Int,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        endLine(out, append(flags, flagsLength, facts, answersOfStore, out, begin(code, out)))
    }

    /// The answer to `md`, and any other that has nothing to say of an item: its key and the opaque.
    package static func encodeCode(
        _ code: MetaCode, _ facts: borrowing MetaFacts, flags: UnsafePointer<UInt8>, flagsLength: Int,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        endLine(out, append(flags, flagsLength, facts, answersOfDelete, out, begin(code, out)))
    }

    /// The answer to `ma`; `number` is there when the value is asked for.
    package static func encodeArithmetic(
        _ number: UInt64?, _ facts: borrowing MetaFacts, flags: UnsafePointer<UInt8>, flagsLength: Int,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var length = number.map { beginValue(DecimalText.length(of: $0), out) } ?? begin(.done, out)
        length = endLine(out, append(flags, flagsLength, facts, answersOfArithmetic, out, length))
        guard let number else { return length }
        return endLine(out, length &+ DecimalText.write(number, at: out + length))
    }

    /// The answer to `me`.
    package static func encodeDebug(
        _ facts: borrowing MetaFacts, itemBytes: Int, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        var length = append("ME ", out, 0)
        length = appendKey(facts, out, length)
        length = append(" exp=", out, length)
        length = appendSeconds(facts.secondsLeft, out, length)
        length = append(" la=", out, length)
        length &+= DecimalText.write(UInt64(truncatingIfNeeded: facts.secondsSinceAccess), at: out + length)
        length = append(" cas=", out, length)
        length &+= DecimalText.write(facts.cas, at: out + length)
        length = append(facts.wasFetched ? " fetch=yes" : " fetch=no", out, length)
        // There is one class of items.
        length = append(" cls=1 size=", out, length)
        length &+= DecimalText.write(UInt64(truncatingIfNeeded: itemBytes), at: out + length)
        return endLine(out, length)
    }

    // MARK: Parts

    @inline(__always)
    private static func begin(_ code: MetaCode, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        UnsafeMutableRawPointer(out).storeBytes(of: code.rawValue.littleEndian, as: UInt16.self)
        return 2
    }

    @inline(__always)
    private static func beginValue(_ valueLength: Int, _ out: UnsafeMutablePointer<UInt8>) -> Int {
        out[0] = UInt8(ascii: "V")
        out[1] = UInt8(ascii: "A")
        out[2] = UInt8(ascii: " ")
        return 3 &+ DecimalText.write(UInt64(truncatingIfNeeded: valueLength), at: out + 3)
    }

    /// Goes through the flags of the request, and writes what each asks for.
    ///
    /// SAFETY: the parser has counted and bounded the flags: no letter comes twice, so that what is
    /// written stays below `answerLengthMax`, and nothing behind `flagsLength` is read.
    private static func append(
        _ flags: UnsafePointer<UInt8>, _ flagsLength: Int, _ facts: borrowing MetaFacts, _ answers: UInt64,
        _ out: UnsafeMutablePointer<UInt8>, _ start: Int
    ) -> Int {
        var length = start
        var secondsLeft = facts.secondsLeft
        var position = 0
        while position < flagsLength {
            let letter = flags[position]
            let first = position
            while position < flagsLength, flags[position] != UInt8(ascii: " ") { position &+= 1 }
            let tokenLength = position &- first
            while position < flagsLength, flags[position] == UInt8(ascii: " ") { position &+= 1 }
            guard letter >= 64, answers &>> UInt64(letter &- 64) & 1 != 0 else { continue }
            switch letter {
            case UInt8(ascii: "T"): secondsLeft = facts.secondsLeftTouched
            case UInt8(ascii: "N"): if facts.isCreated { secondsLeft = facts.secondsLeftVivified }
            case UInt8(ascii: "O"):
                out[length] = UInt8(ascii: " ")
                memcpy(out + (length &+ 1), flags + first, tokenLength)
                length &+= 1 &+ tokenLength
            case UInt8(ascii: "k"):
                length = appendKey(facts, out, append(letter, out, length))
                if facts.keyIsBinary { length = append(UInt8(ascii: "b"), out, length) }
            case UInt8(ascii: "t"):
                length = appendSeconds(secondsLeft, out, append(letter, out, length))
            default:
                length = append(letter, out, length)
                length &+= DecimalText.write(number(letter, facts), at: out + length)
            }
        }
        return length
    }

    /// What a flag asks for that is a plain number.
    @inline(__always)
    private static func number(_ letter: UInt8, _ facts: borrowing MetaFacts) -> UInt64 {
        switch letter {
        case UInt8(ascii: "s"): UInt64(truncatingIfNeeded: facts.valueLength)
        case UInt8(ascii: "c"): facts.cas
        case UInt8(ascii: "f"): UInt64(facts.clientFlags)
        case UInt8(ascii: "l"): UInt64(truncatingIfNeeded: facts.secondsSinceAccess)
        default: facts.wasFetched ? 1 : 0  // h
        }
    }

    private static func appendSeconds(_ seconds: Int64, _ out: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
        if seconds == Int64.max { return append("-1", out, length) }
        return length &+ DecimalText.write(UInt64(clamping: seconds), at: out + length)
    }

    private static func appendKey(
        _ facts: borrowing MetaFacts, _ out: UnsafeMutablePointer<UInt8>, _ length: Int
    ) -> Int {
        if facts.keyIsBinary { return length &+ Base64Key.encode(facts.key, facts.keyLength, into: out + length) }
        memcpy(out + length, facts.key, facts.keyLength)
        return length &+ facts.keyLength
    }

    /// A space and a letter.
    @inline(__always)
    private static func append(_ letter: UInt8, _ out: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
        out[length] = UInt8(ascii: " ")
        out[length &+ 1] = letter
        return length &+ 2
    }

    private static func append(_ text: StaticString, _ out: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
        memcpy(out + length, text.utf8Start, text.utf8CodeUnitCount)
        return length &+ text.utf8CodeUnitCount
    }

    @inline(__always)
    private static func endLine(_ out: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
        out[length] = UInt8(ascii: "\r")
        out[length &+ 1] = UInt8(ascii: "\n")
        return length &+ 2
    }
}
