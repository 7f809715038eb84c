import LarderWire

/// The input before a login. The steps must not depend on how the input is cut, and the parser must take at most 16 KB.
struct LoginTarget: Fuzzed {
    func run(_ input: [UInt8]) {
        guard let input = ParserInput(input) else { return }
        let whole = steps(input.bytes, [input.bytes.count])
        if steps(input.bytes, input.ends) != whole, input.linesEnd {
            fault("the steps depend on where the input is cut")
        }
    }

    private func steps(_ bytes: [UInt8], _ ends: [Int]) -> [String] {
        var login = TextLogin()
        var steps: [String] = []
        var start = 0
        for end in ends {
            while start < end {
                let copy = Copy(bytes[start..<end])
                var cursor = 0
                let step = login.next(copy.base, cursor: &cursor, end: copy.count)
                guard cursor >= 0, cursor <= copy.count else {
                    fault("the cursor is at \(cursor) of \(copy.count)")
                }
                start += cursor
                if start > TextLogin.bytesMax { fault("\(start) bytes were taken before the login") }
                if step == .needMore { break }
                steps.append(words(step, copy))
                switch step {
                case .rejectAndClose, .close: return steps
                default: guard cursor > 0 else { fault("\(step) took nothing") }
                }
            }
        }
        return steps
    }

    private func words(_ step: TextLogin.Step, _ copy: borrowing Copy) -> String {
        guard case .credentials(let name, let password) = step else { return "\(step)" }
        return
            "\(Array(copy.bytes(name.lowerBound, name.count))) \(Array(copy.bytes(password.lowerBound, password.count)))"
    }
}
