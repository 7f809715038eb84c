import LarderServer
import Testing

/// A value that is read once is marked as used once, whichever command reads it: so as many of them survive new ones.
@Suite struct AccessMarkTests {
    /// How keys are asked for. Each asks for all of its keys in one go.
    enum Read: CaseIterable {
        case get, gets, metaGet, metaGetWithTime, binary, binaryQuiet

        func request(_ keys: [String]) -> [UInt8] {
            switch self {
            case .get: Array("get \(keys.joined(separator: " "))\r\n".utf8)
            case .gets: Array("gets \(keys.joined(separator: " "))\r\n".utf8)
            case .metaGet: keys.flatMap { Array("mg \($0) v\r\n".utf8) }
            case .metaGetWithTime: keys.flatMap { Array("mg \($0) v t\r\n".utf8) }
            case .binary: keys.flatMap { packet(0x00, $0) }
            case .binaryQuiet: keys.flatMap { packet(0x09, $0) } + packet(0x0a, "")
            }
        }

        private func packet(_ opcode: UInt8, _ key: String) -> [UInt8] {
            let count = UInt8(key.utf8.count)
            return [0x80, opcode, 0, count] + [0, 0, 0, 0] + [0, 0, 0, count] + [UInt8](repeating: 0, count: 12)
                + Array(key.utf8)
        }
    }

    /// How many of 2,200 values survive as many new ones as do not fit beside them, when each was read once.
    private func survivors(_ read: Read, valueLength: Int, keysAtOnce: Int) throws -> Int {
        guard case .serve(let settings, _) = parseCommandLine(["-m", "16", "-t", "1"]) else { return -1 }
        let server = try InProcessServer(settings: settings, startMilliseconds: 1_700_000_000_000)
        let connection = InProcessConnection(server)
        let value = String(repeating: "v", count: valueLength)
        func store(_ key: String) {
            _ = connection.receive(Array("set \(key) 0 0 \(valueLength)\r\n\(value)\r\n".utf8))
        }
        let keys = (0..<2_200).map { "old\($0)" }
        for key in keys { store(key) }
        let reader = InProcessConnection(server)
        for start in stride(from: 0, to: keys.count, by: keysAtOnce) {
            _ = reader.receive(read.request(Array(keys[start..<min(start + keysAtOnce, keys.count)])))
        }
        for number in 0..<9_000_000 / valueLength { store("new\(number)") }
        return keys.count { connection.receive(Array("get \($0)\r\n".utf8)).count > 5 }
    }

    @Test(arguments: [5_000, 4_000], [1, 50])
    func eachReadMarksOnce(valueLength: Int, keysAtOnce: Int) throws {
        let expected = try survivors(.get, valueLength: valueLength, keysAtOnce: 1)
        #expect((1..<2_200).contains(expected))
        for read in Read.allCases {
            let found = try survivors(read, valueLength: valueLength, keysAtOnce: keysAtOnce)
            #expect(found == expected, "\(read), \(valueLength) bytes, \(keysAtOnce) at once")
        }
    }
}
