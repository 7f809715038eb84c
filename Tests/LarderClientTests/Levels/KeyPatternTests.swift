import LarderClient
import LarderTesting
import Testing

@Suite struct KeyPatternTests {
    @Test(arguments: [
        ("myitem*", "myitem", true), ("myitem*", "myitem22", true), ("myitem*", "myite", false),
        ("*", "", true), ("*", "anything", true), ("", "", true), ("", "a", false), ("**", "", true),
        ("*ab", "axb", false), ("*ab", "ab", true), ("*b", "abab", true), ("*ab", "aab", true),
        ("a*b", "ab", true), ("a*b", "axxb", true), ("a*b", "axbx", false), ("a*b*c*d*e", "abcde", true),
        ("a*b*c*d*e", "a1b2c3d4e", true), ("a*b*c*d*e", "acbde", false), ("a*a", "a", false),
        ("*a*a*a*", "aa", false), ("*a*a*a*", "xaxaxax", true), ("exact", "exact", true),
        ("exact", "Exact", false), ("a?c", "abc", false), ("Zü*h", "Zürich", true),
        ("host|*", "host|/|n", true),
    ])
    func matches(pattern: String, key: String, isMatch: Bool) {
        #expect(KeyPattern(pattern).matches(key) == isMatch)
    }

    @Test func oneKeyIsMeantAsItIs() {
        #expect(KeyPattern.exactly("a*").matches("a*"))
        #expect(!KeyPattern.exactly("a*").matches("ab"))
        #expect(KeyPattern("a*").matches("a*"))
        #expect(KeyPattern.exactly("a*") != KeyPattern("a*"))
        #expect(KeyPattern("a").key == "a")
        #expect(KeyPattern("a*").key == nil)
    }

    /// Against the rule, written down as it reads.
    @Test func agreesWithTheRule() {
        func matches(_ pattern: Substring, _ key: Substring) -> Bool {
            guard let first = pattern.first else { return key.isEmpty }
            if first == "*" {
                return matches(pattern.dropFirst(), key) || !key.isEmpty && matches(pattern, key.dropFirst())
            }
            return key.first == first && matches(pattern.dropFirst(), key.dropFirst())
        }
        var random = SeededRandom(seed: 20_261_128)
        for step in 0..<5000 {
            let pattern = String(
                (0..<Int.random(in: 0...6, using: &random)).map { _ in
                    "ab*".randomElement(using: &random) ?? "a"
                })
            let key = String(
                (0..<Int.random(in: 0...8, using: &random)).map { _ in
                    "ab".randomElement(using: &random) ?? "a"
                })
            #expect(
                KeyPattern(pattern).matches(key) == matches(pattern[...], key[...]),
                "seed 20261128, step \(step): \(pattern) and \(key)")
        }
    }

    /// Many stars take no longer than the product of the lengths.
    @Test func manyStarsTakeLittleTime() {
        let pattern = KeyPattern(String(repeating: "*a", count: 100) + "b")
        #expect(!pattern.matches(String(repeating: "a", count: 10_000)))
    }
}
