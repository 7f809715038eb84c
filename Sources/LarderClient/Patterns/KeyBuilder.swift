/// Keys made of the name of a function and what it was called with.
///
///     let keys = KeyBuilder("repo")
///     keys("list_items", "en", 1)  // repo-list_items:'en':1
///
/// Text is quoted as Python quotes it, so that programs with wheezy.caching make the same keys, and so that no
/// argument looks like two. Python also escapes letters that it does not print, beyond the control characters of ASCII
/// (U+00A0, U+200B): such keys differ.
public struct KeyBuilder: Sendable, Hashable {
    private let prefix: String

    /// Keys that begin with a prefix, and a hyphen if there is one.
    public init(_ prefix: String = "") { self.prefix = prefix }

    /// The key of a call.
    public func callAsFunction(_ name: String, _ arguments: any KeyArgument...) -> String {
        key(name, arguments)
    }

    func key(_ name: String, _ arguments: [any KeyArgument]) -> String {
        ([prefix.isEmpty ? name : prefix + "-" + name] + arguments.map(\.keyText)).joined(separator: ":")
    }
}

/// What a `KeyBuilder` can write into a key.
public protocol KeyArgument {
    /// The argument, as Python's `repr` writes it.
    var keyText: String { get }
}

extension String: KeyArgument {
    /// In single quotes, or in double ones where single ones are in it and no double ones.
    public var keyText: String {
        let quote: Unicode.Scalar =
            unicodeScalars.contains("'") && !unicodeScalars.contains("\"") ? "\"" : "'"
        var text = String(quote)
        for scalar in unicodeScalars {
            switch scalar {
            case "\\", quote: text += "\\" + String(scalar)
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let digits = String(scalar.value, radix: 16)
                text += "\\x" + (digits.count < 2 ? "0" : "") + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + String(quote)
    }
}

extension Bool: KeyArgument {
    /// `True` or `False`.
    public var keyText: String { self ? "True" : "False" }
}

extension Optional: KeyArgument where Wrapped: KeyArgument {
    /// `None`, or what is in it.
    public var keyText: String { map(\.keyText) ?? "None" }
}

extension KeyArgument where Self: BinaryInteger {
    /// In decimal.
    public var keyText: String { String(self) }
}

extension Int: KeyArgument {}
extension Int32: KeyArgument {}
extension Int64: KeyArgument {}
extension UInt: KeyArgument {}
extension UInt32: KeyArgument {}
extension UInt64: KeyArgument {}

extension Double: KeyArgument {
    /// The shortest decimal that is this number.
    public var keyText: String { description }
}
