/// The text behind an option, with the ways to read it.
struct OptionValue {
    static let sizeMax = 1 << 30
    /// Leaves room for sums of two keys.
    static let keyMax = 1 << 62

    let option: String
    let text: String

    func integer(in range: ClosedRange<Int>) throws(OptionError) -> Int {
        try integer(text, in: range)
    }

    func decimal(in range: ClosedRange<Double>) throws(OptionError) -> Double {
        guard let number = Double(text), range.contains(number) else {
            throw refusal("a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// Two numbers, as in `1:10`.
    func pair(separator: Character, in range: ClosedRange<Int>) throws(OptionError) -> (Int, Int) {
        let parts = text.split(separator: separator, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw refusal("two numbers with '\(separator)' between them") }
        return (try integer(String(parts[0]), in: range), try integer(String(parts[1]), in: range))
    }

    /// As in `100-1000`.
    func range(in bounds: ClosedRange<Int>) throws(OptionError) -> ClosedRange<Int> {
        let (low, high) = try pair(separator: "-", in: bounds)
        guard low <= high else { throw refusal("the smaller number first") }
        return low...high
    }

    /// As in `R:R`; one letter is meant for both.
    func patterns() throws(OptionError) -> (KeyPattern, KeyPattern) {
        let letters = text.split(separator: ":", omittingEmptySubsequences: false)
        guard letters.count <= 2,
            let first = letters.first.flatMap(pattern), let last = letters.last.flatMap(pattern)
        else { throw refusal("R, S, P or Z for sets and for gets, as in R:R") }
        return (first, last)
    }

    private func pattern(_ letter: Substring) -> KeyPattern? {
        letter.count == 1 ? letter.first.flatMap(KeyPattern.init(rawValue:)) : nil
    }

    private func integer(_ text: String, in range: ClosedRange<Int>) throws(OptionError) -> Int {
        guard let number = Int(text), range.contains(number) else {
            throw refusal("a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private func refusal(_ wanted: String) -> OptionError {
        OptionError(message: "--\(option) '\(text)': expected \(wanted)")
    }
}
