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
        else { throw refusal("R, S, P, G or Z for sets and for gets, as in R:R") }
        return (first, last)
    }

    func dialect() throws(OptionError) -> Options.Dialect {
        switch text {
        case "memcache_text", "text": .text
        case "memcache_meta", "meta": .meta
        case "memcache_binary", "binary": .binary
        default: throw refusal("memcache_text, memcache_meta or memcache_binary")
        }
    }

    /// As in `USER:PASSWORD`; the password may have colons.
    func credentials() throws(OptionError) -> Options.Credentials {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty else {
            // The value is a secret, perhaps, and is not repeated.
            throw OptionError(message: "--authenticate: expected USER:PASSWORD")
        }
        return Options.Credentials(user: String(parts[0]), password: String(parts[1]))
    }

    /// As in `32:50,512:45,4096:5`: sizes and their weights.
    func sizeWeights() throws(OptionError) -> [SizeWeight] {
        var weights: [SizeWeight] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let numbers = part.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard numbers.count == 2 else { throw refusal("SIZE:WEIGHT,SIZE:WEIGHT...") }
            weights.append(
                SizeWeight(
                    size: try integer(numbers[0], in: 1...Self.sizeMax),
                    weight: try integer(numbers[1], in: 1...1_000_000)))
        }
        guard weights.count <= 10_000 else { throw refusal("at most 10,000 sizes") }
        return weights
    }

    /// As in `50,99,99.9`.
    func percentiles() throws(OptionError) -> [Double] {
        var found: [Double] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let number = Double(part), number > 0, number <= 100 else {
                throw refusal("percents above 0 and up to 100, as in 50,99,99.9")
            }
            found.append(number)
        }
        return found
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

    func refusal(_ wanted: String) -> OptionError {
        OptionError(message: "--\(option) '\(text)': expected \(wanted)")
    }
}
