/// The value of an ignored `-o` name. It is checked all the same, so that a slip of the pen shows here as
/// it would in memcached.
enum ExtendedValue: Sendable {
    /// Takes none; one that is given is passed over, as memcached does.
    case none
    /// Needs one, whatever it is.
    case any
    case integer(ClosedRange<Int>, String? = nil)
    case optionalInteger(ClosedRange<Int>, String)
    case atLeast(Int, String)
    /// More than the lower bound, at most the upper.
    case decimal(ClosedRange<Double>, String)
    case words([String])

    func check(_ text: String?, of name: String) throws(Ending) {
        switch self {
        case .none: return
        case .optionalInteger where text == nil: return
        default: break
        }
        guard let text else { throw .badValue("Missing \(name) argument") }
        switch self {
        case .none, .any: return
        case .integer(let range, let refusal):
            let number = LeadingInteger(text)
            guard number.isWhole, range.contains(number.value) else {
                throw .badValue(refusal ?? "could not parse argument to \(name)")
            }
        case .optionalInteger(let range, let refusal):
            let number = LeadingInteger(text)
            guard number.isWhole, range.contains(number.value) else { throw .badValue(refusal) }
        case .atLeast(let least, let refusal):
            let number = LeadingInteger(text)
            guard number.isWhole, number.value >= least else { throw .badValue(refusal) }
        case .decimal(let range, let refusal):
            guard let number = Double(text), number > range.lowerBound, number <= range.upperBound else {
                throw .badValue(refusal)
            }
        case .words(let words):
            guard words.contains(text) else {
                throw .badValue("Unknown \(name) option (\(words.joined(separator: ", ")))")
            }
        }
    }
}
