import LarderClient
import Testing

/// As wheezy.caching's key_builder writes them, which is Python's repr.
@Suite struct KeyBuilderTests {
    private let keys = KeyBuilder("repo")

    @Test func asWheezyDoes() {
        #expect(keys("list_items") == "repo-list_items")
        #expect(keys("list_items", "en", 1) == "repo-list_items:'en':1")
        #expect(keys("f", Int?.none, true, -2, 1.5, "") == "repo-f:None:True:-2:1.5:''")
        #expect(KeyBuilder()("f", String?.some("x")) == "f:'x'")
    }

    @Test func textIsQuoted() {
        #expect(keys("f", "it's") == #"repo-f:"it's""#)
        #expect(keys("f", "say \"so\"") == #"repo-f:'say "so"'"#)
        #expect(keys("f", "it's \"so\"") == #"repo-f:'it\'s "so"'"#)
        #expect(keys("f", "a\\b\n\r\t\u{1}\u{7f}é") == #"repo-f:'a\\b\n\r\t\x01\x7fé'"#)
    }

    @Test func noArgumentLooksLikeTwo() {
        #expect(keys("f", "a':'b") != keys("f", "a", "b"))
        #expect(keys("f", "1") != keys("f", 1))
    }
}
