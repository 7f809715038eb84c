/// The text of a `--cache`: `key=value,key=value`, where `\` takes the next character for what it is.
struct CacheSpecification {
    struct Field {
        var key: String
        /// nil where there is no `=`; escapes are still in it.
        var value: Substring?
    }

    let fields: [Field]

    init(_ text: String) {
        fields = Self.split(text[...], at: ",").filter { !$0.isEmpty }.map { part in
            guard let equals = part.firstIndex(of: "=") else {
                return Field(key: Self.unescaped(part), value: nil)
            }
            return Field(key: Self.unescaped(part[..<equals]), value: part[part.index(after: equals)...])
        }
    }

    /// The parts between separators that are not escaped.
    static func split(_ text: Substring, at separator: Character) -> [Substring] {
        var parts: [Substring] = []
        var start = text.startIndex
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            if text[index] == "\\", next < text.endIndex {
                index = text.index(after: next)
                continue
            }
            if text[index] == separator {
                parts.append(text[start..<index])
                start = next
            }
            index = next
        }
        return parts + [text[start...]]
    }

    static func unescaped(_ text: Substring) -> String {
        var plain = ""
        var isEscaped = false
        for character in text {
            if character == "\\", !isEscaped {
                isEscaped = true
            } else {
                plain.append(character)
                isEscaped = false
            }
        }
        return plain
    }
}
