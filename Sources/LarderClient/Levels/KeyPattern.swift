/// Which keys are meant: one, or all that match a wildcard.
///
/// In a wildcard each `*` stands for any number of characters, none included, and there may be any number of them:
/// `myitem*` matches `myitem` and `myitem2`. Nothing else is special, and case matters.
public struct KeyPattern: Sendable, Hashable, CustomStringConvertible {
    /// The wildcard, or the key.
    public let text: String
    private let isExact: Bool

    /// Keys that match a wildcard.
    public init(_ wildcard: String) {
        text = wildcard
        isExact = !wildcard.utf8.contains(Self.star)
    }

    private init(key: String) {
        text = key
        isExact = true
    }

    /// One key, whatever characters it has.
    public static func exactly(_ key: String) -> KeyPattern { KeyPattern(key: key) }

    /// All keys.
    public static let everything = KeyPattern("*")

    /// The only key that matches; nil where there may be several.
    public var key: String? { isExact ? text : nil }

    /// The wildcard, or the key.
    public var description: String { text }

    /// Whether a key is meant.
    public func matches(_ key: String) -> Bool {
        isExact ? key.utf8.elementsEqual(text.utf8) : Self.matches(Array(text.utf8), Array(key.utf8))
    }

    private static let star = UInt8(ascii: "*")

    /// Only the last star needs to be tried again: what stood before it matched as early as possible.
    private static func matches(_ pattern: [UInt8], _ key: [UInt8]) -> Bool {
        var place = 0
        var keyPlace = 0
        var retry: (place: Int, keyPlace: Int)?
        while keyPlace < key.count {
            if place < pattern.count, pattern[place] == star {
                place += 1
                retry = (place, keyPlace)
            } else if place < pattern.count, pattern[place] == key[keyPlace] {
                place += 1
                keyPlace += 1
            } else if let last = retry {
                place = last.place
                keyPlace = last.keyPlace + 1
                retry = (last.place, keyPlace)
            } else {
                return false
            }
        }
        return pattern[place...].allSatisfy { $0 == star }
    }
}
