/// The input of a whole conversation: the server's options, and the steps.
///
/// The first byte chooses the options. The other bytes go to the server. The byte `mark` begins a special step, which
/// the next byte names. Two `mark` bytes stand for one byte of that value.
struct Script {
    enum Step {
        /// A client sends these bytes in one piece.
        case send(connection: Int, [UInt8])
        case advance(milliseconds: Int64)
        /// From here on each reading of the clock advances it.
        case tick(millisecondsPerLook: Int64)
        case check
    }

    /// A byte that is no letter and is in no valid binary header.
    static let mark: UInt8 = 0xf5
    static let cut = UInt8(ascii: "|")
    static let connections = UInt8(ascii: "1")...UInt8(ascii: "3")
    static let check = UInt8(ascii: "?")
    /// The next byte is the number of seconds.
    static let second = UInt8(ascii: "+")
    /// The next byte is the number of milliseconds.
    static let tick = UInt8(ascii: "~")

    let options: Int
    /// Whether the bytes are also sent one by one to another server, which must answer the same.
    let comparesBytes: Bool
    private(set) var steps: [Step] = []

    init?(_ input: [UInt8]) {
        guard let first = input.first else { return nil }
        options = Int(first & 0x7f)
        comparesBytes = first & 0x80 != 0
        var connection = 0
        var sent: [UInt8] = []
        var place = 1
        func next() -> UInt8? {
            guard place < input.count else { return nil }
            defer { place += 1 }
            return input[place]
        }
        func finish() {
            if !sent.isEmpty { steps.append(.send(connection: connection, sent)) }
            sent = []
        }
        while let byte = next() {
            guard byte == Self.mark, let kind = next() else {
                sent.append(byte)
                continue
            }
            switch kind {
            case Self.mark: sent.append(kind)
            case Self.connections:
                finish()
                connection = Int(kind - Self.connections.lowerBound)
            case Self.check:
                finish()
                steps.append(.check)
            case Self.second:
                finish()
                steps.append(.advance(milliseconds: Int64(next() ?? 1) * 1000))
            case Self.tick:
                finish()
                steps.append(.tick(millisecondsPerLook: Int64(next() ?? 0)))
            // Lets the server send unasked lines, such as those for watchers.
            default:
                finish()
                steps.append(.send(connection: connection, []))
            }
        }
        finish()
    }
}
