import Testing

@testable import LoadGenerator

/// The bytes that each protocol's requests have.
struct RequestTests {
    private func sent(_ words: String, _ expected: (borrowing Talk) -> [UInt8]) throws {
        var talk = try Talk(words)
        talk.begin()
        let found = talk.received()
        let wanted = expected(talk)
        #expect(found == wanted, "\(String(decoding: found, as: UTF8.self))")
    }

    @Test func text() throws {
        try sent("--ratio 1:2 --pipeline 3") {
            bytes(
                "set memtier-5 0 0 10\r\n".utf8, $0.value(5), "\r\nget memtier-5\r\nget memtier-6\r\n".utf8)
        }
    }

    @Test func textWithExpiry() throws {
        try sent("--ratio 1:0 --pipeline 2 --expiry-range 60-60") {
            bytes(
                "set memtier-5 0 60 10\r\n".utf8, $0.value(5), "\r\nset memtier-6 0 60 10\r\n".utf8,
                $0.value(6),
                "\r\n".utf8)
        }
    }

    @Test func textWithClientFlags() throws {
        try sent("--ratio 1:1 --pipeline 2 --client-flags 12345") {
            bytes("set memtier-5 12345 0 10\r\n".utf8, $0.value(5), "\r\nget memtier-5\r\n".utf8)
        }
        try sent("--ratio 1:0 --client-flags 12345 --expiry-range 60-60") {
            bytes("set memtier-5 12345 60 10\r\n".utf8, $0.value(5), "\r\n".utf8)
        }
    }

    @Test func metaWithClientFlags() throws {
        try sent("-P memcache_meta --ratio 1:1 --pipeline 2 --client-flags 12345") {
            bytes("ms memtier-5 10 F12345\r\n".utf8, $0.value(5), "\r\nmg memtier-5 f v\r\n".utf8)
        }
        try sent("-P memcache_meta --ratio 1:0 --client-flags 12345 --expiry-range 60-60") {
            bytes("ms memtier-5 10 F12345 T60\r\n".utf8, $0.value(5), "\r\n".utf8)
        }
        try sent("-P memcache_meta --ratio 0:2 --multi-key-get 2 --client-flags 12345") { _ in
            bytes("mg memtier-5 v f k q\r\nmg memtier-6 v f k q\r\nmn\r\n".utf8)
        }
    }

    @Test func binaryWithClientFlags() throws {
        try sent("-P memcache_binary --ratio 1:0 --client-flags 258 --expiry-range 60-60") {
            bytes(
                binary(
                    0x80, 0x01, opaque: 0, extras: [0, 0, 1, 2, 0, 0, 0, 60], key: "memtier-5", value: $0.value(5)))
        }
    }

    @Test func textOfManyKeys() throws {
        try sent("--ratio 0:3 --multi-key-get 2 --pipeline 2 --key-prefix k:") { _ in
            bytes("get k:5 k:6\r\nget k:7\r\n".utf8)
        }
    }

    @Test func meta() throws {
        try sent("-P memcache_meta --ratio 1:2 --pipeline 3") {
            bytes("ms memtier-5 10\r\n".utf8, $0.value(5), "\r\nmg memtier-5 v\r\nmg memtier-6 v\r\n".utf8)
        }
    }

    @Test func metaWithExpiry() throws {
        try sent("-P memcache_meta --ratio 1:0 --expiry-range 60-60") {
            bytes("ms memtier-5 10 T60\r\n".utf8, $0.value(5), "\r\n".utf8)
        }
    }

    @Test func metaOfManyKeys() throws {
        try sent("-P memcache_meta --ratio 0:2 --multi-key-get 2") { _ in
            bytes("mg memtier-5 v k q\r\nmg memtier-6 v k q\r\nmn\r\n".utf8)
        }
    }

    @Test func binaryOnes() throws {
        try sent("-P memcache_binary --ratio 1:2 --pipeline 3 --expiry-range 258-258") {
            bytes(
                binary(
                    0x80, 0x01, opaque: 0, extras: [0, 0, 0, 0, 0, 0, 1, 2], key: "memtier-5",
                    value: $0.value(5)),
                binary(0x80, 0x00, opaque: 1, key: "memtier-5"),
                binary(0x80, 0x00, opaque: 2, key: "memtier-6"))
        }
    }

    @Test func binaryOfManyKeys() throws {
        try sent("-P memcache_binary --ratio 0:4 --multi-key-get 2 --pipeline 2") { _ in
            bytes(
                binary(0x80, 0x09, opaque: 0, key: "memtier-5"),
                binary(0x80, 0x09, opaque: 1, key: "memtier-6"),
                binary(0x80, 0x0a, opaque: 0), binary(0x80, 0x09, opaque: 2, key: "memtier-7"),
                binary(0x80, 0x09, opaque: 3, key: "memtier-8"), binary(0x80, 0x0a, opaque: 1))
        }
    }
}
