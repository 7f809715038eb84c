import Glibc

/// What C's atoi makes of a text, and whether that was all of it.
struct LeadingInteger: Equatable {
    var value: Int
    /// False for `64x`, `x` and the empty text, all of which atoi takes without a word.
    var isWhole: Bool

    init(_ text: some StringProtocol, radix: Int32 = 10) {
        var value = 0
        var isWhole = false
        text.withCString { start in
            var end: UnsafeMutablePointer<CChar>?
            value = strtol(start, &end, radix)
            if let end { isWhole = UnsafePointer(end) != start && end.pointee == 0 }
        }
        self.value = value
        self.isWhole = isWhole
    }
}

/// A number of at least 1. Below that memcached has a sentence of its own; what memcached would have
/// cut short (`4x`) gets ours.
func positiveNumber(_ text: String, _ option: String, orElse refusal: String) throws(Ending) -> Int {
    let number = LeadingInteger(text)
    guard number.value > 0 else { throw .badValue(refusal) }
    return try wholeNumber(text, option, in: 1...Int(Int32.max), "a whole number")
}

/// A number in a range, described in words for the one who gave another.
func wholeNumber(
    _ text: String, _ option: String, in range: ClosedRange<Int>, _ description: String
) throws(Ending) -> Int {
    let number = LeadingInteger(text)
    guard number.isWhole, range.contains(number.value) else {
        throw .usage("\(option) takes \(description), not \"\(text)\".")
    }
    return number.value
}

/// A size with an optional unit: `units` says what a letter at its end multiplies by, `plain` what no
/// letter does. nil when it is not a size; a size too large to count is `Int.max`.
func byteCount(_ text: String, units: [Character: Int], plain: Int) -> Int? {
    var digits = Substring(text)
    var unit = plain
    if let last = text.last?.lowercased().first, let factor = units[last] {
        unit = factor
        digits = digits.dropLast()
    }
    let number = LeadingInteger(digits)
    guard number.isWhole else { return nil }
    let (product, overflow) = number.value.multipliedReportingOverflow(by: unit)
    return overflow ? Int.max : product
}
