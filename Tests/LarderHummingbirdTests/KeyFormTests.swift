#if Hummingbird
    import Testing

    @testable import LarderHummingbird

    @Suite struct KeyFormTests {
        private let form = KeyForm(prefix: "p:")

        @Test(arguments: ["a", "session.0123", "é", String(repeating: "k", count: 178)])
        func aKeyThatFitsIsItself(key: String) throws {
            #expect(try form.name(of: key) == "p:" + key)
        }

        @Test(arguments: [
            "", " ", "a b", "a\r\nflush_all", "\0", "\u{7F}", "~", "~x", String(repeating: "k", count: 179),
            String(repeating: "é", count: 5000),
        ])
        func anyOtherIsHashed(key: String) throws {
            let name = try form.name(of: key)
            #expect(name.hasPrefix("p:~"))
            #expect(name.utf8.count == 47)
            #expect(name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
        }

        @Test func noTwoKeysHaveOneName() throws {
            let keys = ["", " ", "  ", "~", "a b", "a  b", "p:a b", "~a b", "a"]
            var names = try keys.map { try form.name(of: $0) }
            // What looks like another's name is hashed.
            names += try names.map { try form.name(of: String($0.dropFirst(2))) }.filter { $0 != "p:a" }
            names += try keys.map { try KeyForm(prefix: "q:").name(of: $0) }
            #expect(Set(names).count == names.count)
        }

        @Test(arguments: ["two words", String(repeating: "p", count: 200)])
        func aPrefixThatCannotStandThereIsHashed(prefix: String) throws {
            let form = KeyForm(prefix: prefix)
            let name = try form.name(of: "k")
            #expect(name.first == "~")
            #expect(name != (try KeyForm(prefix: prefix + "k").name(of: "")))
            #expect(name != (try KeyForm(prefix: "").name(of: prefix + "k")))
        }
    }
#endif
