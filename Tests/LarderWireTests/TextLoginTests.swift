import LarderTesting
import Testing

@testable import LarderWire

/// What may be said before a client has logged in. `access.conversation` has the answers.
@Suite struct TextLoginTests {
    /// The steps that `input` comes to, given in pieces of the lengths that `cuts` tells.
    private func steps(_ input: [UInt8], pieces: (Int) -> Int) -> [TextLogin.Step] {
        var login = TextLogin()
        var unread: [UInt8] = []
        var steps: [TextLogin.Step] = []
        var start = 0
        while start < input.count {
            let count = max(1, min(pieces(start), input.count - start))
            unread += input[start..<start + count]
            start += count
            while true {
                var cursor = 0
                let step = unread.withUnsafeBufferPointer { bytes in
                    login.next(bytes.baseAddress!, cursor: &cursor, end: bytes.count)
                }
                if step == .needMore {
                    #expect(cursor <= unread.count)
                    unread.removeFirst(cursor)
                    break
                }
                if case .credentials(let name, let password) = step {
                    #expect(name.upperBound < password.lowerBound + 1 && password.upperBound <= unread.count)
                    let text = Array(unread[name]) + [0x7c] + Array(unread[password])
                    steps.append(.credentials(name: 0..<text.count, password: 0..<0))
                } else {
                    steps.append(step)
                }
                unread.removeFirst(cursor)
                if steps.last == .close || unread.isEmpty { break }
                if case .rejectAndClose = steps.last { break }
            }
            if steps.last == .close { break }
            if case .rejectAndClose = steps.last { break }
        }
        return steps
    }

    /// However the input is cut, and whatever it is: the same steps, no trap, and an end within 16 KB.
    @Test func anyInputInAnyPieces() {
        var random = SeededRandom(seed: UInt64.random(in: 0 ... .max))
        print("seed \(random.seed)")
        let words = [
            "set", " ", " ", "a", "0", "7", "4294967295", "16381", "\r\n", "\r\n", "\n", "foo bar", "\0", "x",
            "-1", "noreply", "set a 0 0 7\r\nfoo bar\r\n", "set a 0 0 0\r\n", String(repeating: "y", count: 700),
        ]
        for _ in 0..<3000 {
            var input: [UInt8] = []
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                input += words.randomElement(using: &random)!.utf8
            }
            let whole = steps(input) { _ in input.count }
            let bytes = steps(input) { _ in 1 }
            #expect(whole == bytes, "\(String(decoding: input, as: UTF8.self))")
            if input.count > TextLogin.bytesMax {
                // Everything said counts: somewhere it ends, or it waits within the bound.
                #expect(whole.count <= TextLogin.bytesMax / 6)
            }
        }
    }

    @Test func aFloodOfShortLinesEnds() {
        let line = Array("get a\r\n".utf8)
        let flood = (0..<5000).flatMap { _ in line }
        let result = steps(flood) { _ in 16 << 10 }
        #expect(result.last == .close)
        #expect(result.count == TextLogin.bytesMax / line.count + 1)
    }

    @Test func theLongestLoginFits() {
        let line = "set a 0 0 16365\r\n"
        let longest = TextLogin.bytesMax - line.utf8.count - 2
        #expect(line == "set a 0 0 \(longest)\r\n")
        for (length, fits) in [(longest - 3, true), (longest, true), (longest + 1, false)] {
            let value = "n " + String(repeating: "p", count: length - 2)
            let result = steps(Array("set a 0 0 \(length)\r\n\(value)\r\n".utf8)) { _ in 100_000 }
            if fits {
                #expect(result == [.credentials(name: 0..<length, password: 0..<0)])
            } else {
                #expect(result == [.rejectAndClose(.loginTooLong)])
            }
        }
    }
}
