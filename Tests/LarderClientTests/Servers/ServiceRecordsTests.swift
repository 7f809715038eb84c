import LarderTesting
import Testing

@testable import LarderClient

/// An answer of the DNS, put together by hand.
private struct DNSAnswer {
    private var records: [UInt8] = []
    private var count: UInt16 = 0

    /// At byte 12, for names that end with it.
    private static let question = name("_memcache._tcp.example") + [0, 33, 0, 1]

    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    private static func two(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }

    /// - Parameter target: the name as it stands in the record.
    mutating func add(
        _ priority: UInt16, _ weight: UInt16, _ port: UInt16, _ target: [UInt8], type: UInt16 = 33
    ) {
        let data = Self.two(priority) + Self.two(weight) + Self.two(port) + target
        // The owner's name is the question's.
        records += [0xC0, 12] + Self.two(type) + [0, 1, 0, 0, 0, 60] + Self.two(UInt16(data.count)) + data
        count += 1
    }

    var bytes: [UInt8] {
        [1, 2, 0x81, 0x80] + Self.two(1) + Self.two(count) + [0, 0, 0, 0] + Self.question + records
    }
}

@Suite struct ServiceRecordsTests {
    private func name(_ text: String) -> [UInt8] { DNSAnswer.name(text) }

    @Test func serversOfTheBestPriority() throws {
        var answer = DNSAnswer()
        answer.add(20, 1, 11211, name("spare.example"))
        answer.add(10, 20, 11212, name("b.example"))
        answer.add(10, 40, 11211, name("a.example"))
        // A name's rest is the question's: `_tcp.example` begins at byte 22.
        answer.add(10, 20, 11211, [1, UInt8(ascii: "c"), 0xC0, 22])
        // Another kind of record, and one that comes twice.
        answer.add(0, 0, 0, name("x"), type: 16)
        answer.add(10, 20, 11212, name("b.example"))
        #expect(
            try ServiceRecords(answer.bytes).members == [
                GroupMember(.host("a.example", port: 11211), weight: 2),
                GroupMember(.host("b.example", port: 11212), weight: 1),
                GroupMember(.host("c._tcp.example", port: 11211), weight: 1),
            ])
    }

    @Test(arguments: [UInt16(0), 25]) func equalWeightsAreOne(weight: UInt16) throws {
        var answer = DNSAnswer()
        for host in ["a", "b", "c"] { answer.add(0, weight, 11211, name(host)) }
        #expect(try ServiceRecords(answer.bytes).members == ["a", "b", "c"].map { GroupMember(.host($0)) })
    }

    @Test func theRootIsNoServer() throws {
        var answer = DNSAnswer()
        answer.add(0, 0, 0, [0])
        #expect(try ServiceRecords(answer.bytes).members == [])
    }

    @Test func aNameThatPointsAtItselfIsAnError() {
        for target in [[0xC0, 34], [0xC0, 60], [0xFF, 0xFF], [0x80, 1], [63]] as [[UInt8]] {
            var answer = DNSAnswer()
            answer.add(0, 0, 11211, target)
            #expect(throws: MemcacheError.self) { try ServiceRecords(answer.bytes) }
        }
    }

    /// Whatever the bytes are, there is an answer or an error.
    @Test func noBytesTrap() throws {
        var whole = DNSAnswer()
        for number in 0..<5 { whole.add(UInt16(number % 2), UInt16(number), 11211, [1, 0x61, 0xC0, 22]) }
        for count in 0..<whole.bytes.count { _ = try? ServiceRecords(Array(whole.bytes[..<count])) }
        let seed: UInt64 = 20_261_128
        var random = SeededRandom(seed: seed)
        for _ in 0..<20_000 {
            var bytes = whole.bytes
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(
                    in: 0...255, using: &random)
            }
            if let read = try? ServiceRecords(bytes) {
                #expect(read.members.count <= read.records.count, "seed \(seed)")
            }
        }
    }
}
