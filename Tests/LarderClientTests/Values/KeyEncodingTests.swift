import LarderClient
import Testing

@Suite struct KeyEncodingTests {
    @Test func asPythonDoes() throws {
        #expect(try KeyEncoding.plain.encode("é") == "é")
        #expect(try KeyEncoding.base64.encode("a") == "YQ==")
        #expect(try KeyEncoding.base64.encode("ab") == "YWI=")
        #expect(try KeyEncoding.base64.encode("abc") == "YWJj")
        #expect(try KeyEncoding.base64.encode("?>~") == "Pz5-")
        #expect(try KeyEncoding.sha256.encode("key") == "LHDhK3oGRvkiefQnx7OOczTY5Tic_xZ6HcMOc_gmtoM=")
    }

    @Test func whatIsNoKeyIsRefused() {
        for encoding in [KeyEncoding.plain, .base64, .sha256] {
            #expect(throws: CacheError.self) { try encoding.encode("") }
        }
        #expect(throws: CacheError.self) { try KeyEncoding.plain.encode(String(repeating: "k", count: 251)) }
        #expect(throws: CacheError.self) { try KeyEncoding.base64.encode(String(repeating: "k", count: 187)) }
        #expect(throws: Never.self) { try KeyEncoding.base64.encode(String(repeating: "k", count: 186)) }
        #expect(throws: Never.self) {
            try KeyEncoding.sha256.encode(String(repeating: "k", count: 1_000_000))
        }
    }
}
