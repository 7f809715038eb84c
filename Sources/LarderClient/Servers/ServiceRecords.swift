/// The servers that the DNS names for a service (RFC 2782), out of its answer (RFC 1035, section 4).
struct ServiceRecords: Sendable, Hashable {
    struct Record: Sendable, Hashable {
        var priority: UInt16
        var weight: UInt16
        var port: UInt16
        var host: String
    }

    private(set) var records: [Record] = []

    private static let serviceType: UInt16 = 33
    private static let headerBytes = 12
    /// Each hop goes backwards, so that there is an end; names have 127 labels at most.
    private static let labelsMax = 128

    /// - Throws: `MemcacheError` for bytes that are no answer.
    init(_ answer: [UInt8]) throws(MemcacheError) {
        var reader = Reader(bytes: answer)
        guard answer.count >= Self.headerBytes else { throw Self.unreadable }
        reader.place = 4
        let questionCount = try reader.number()
        let answerCount = try reader.number()
        reader.place = Self.headerBytes
        for _ in 0..<questionCount {
            _ = try reader.name()
            try reader.skip(4)
        }
        for _ in 0..<answerCount {
            _ = try reader.name()
            let type = try reader.number()
            try reader.skip(6)
            let length = Int(try reader.number())
            let end = reader.place + length
            guard end <= answer.count else { throw Self.unreadable }
            if type == Self.serviceType {
                let record = Record(
                    priority: try reader.number(), weight: try reader.number(), port: try reader.number(),
                    host: try reader.name())
                // A root as the target says that there is no such service.
                if !record.host.isEmpty, record.port != 0 { records.append(record) }
            }
            reader.place = end
        }
    }

    /// The servers of the best priority, each once, by name and port. Weights are as small as they can be in their
    /// proportion; where nobody has one, all are equal.
    var members: [GroupMember] {
        let best = records.map(\.priority).min()
        let chosen = Set(records.filter { $0.priority == best })
            .sorted { ($0.host, $0.port, $0.weight) < ($1.host, $1.port, $1.weight) }
        let divisor = chosen.reduce(UInt32(0)) { Self.commonDivisor($0, UInt32($1.weight)) }
        var members: [GroupMember] = []
        for record in chosen {
            let address = ServerAddress.host(record.host, port: Int(record.port))
            guard members.last?.address != address else { continue }
            let weight = divisor == 0 ? 1 : UInt32(record.weight) / divisor
            members.append(GroupMember(address, weight: weight))
        }
        return members
    }

    private static func commonDivisor(_ first: UInt32, _ second: UInt32) -> UInt32 {
        second == 0 ? first : commonDivisor(second, first % second)
    }

    fileprivate static var unreadable: MemcacheError {
        MemcacheError(.protocolViolation, "the DNS gives an answer that cannot be read")
    }

    private struct Reader {
        let bytes: [UInt8]
        var place = 0

        mutating func byte() throws(MemcacheError) -> UInt8 {
            guard bytes.indices.contains(place) else { throw ServiceRecords.unreadable }
            defer { place += 1 }
            return bytes[place]
        }

        mutating func number() throws(MemcacheError) -> UInt16 {
            let high = try byte()
            return UInt16(high) << 8 | UInt16(try byte())
        }

        mutating func skip(_ count: Int) throws(MemcacheError) {
            guard place + count <= bytes.count else { throw ServiceRecords.unreadable }
            place += count
        }

        /// Labels with points between them. The rest of a name may be that of an earlier one.
        mutating func name() throws(MemcacheError) -> String {
            var labels: [String] = []
            var limit = place
            var end: Int?
            while labels.count <= ServiceRecords.labelsMax {
                let length = try byte()
                if length == 0 {
                    if let end { place = end }
                    return labels.joined(separator: ".")
                }
                if length & 0xC0 == 0xC0 {
                    let target = Int(length & 0x3F) << 8 | Int(try byte())
                    if end == nil { end = place }
                    guard target < limit else { throw ServiceRecords.unreadable }
                    limit = target
                    place = target
                    continue
                }
                guard length & 0xC0 == 0, place + Int(length) <= bytes.count else {
                    throw ServiceRecords.unreadable
                }
                labels.append(String(decoding: bytes[place..<place + Int(length)], as: UTF8.self))
                place += Int(length)
            }
            throw ServiceRecords.unreadable
        }
    }
}
