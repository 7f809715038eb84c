/// An input of a whole conversation: which server it is held with, and what happens there.
///
/// The first byte chooses the options. Of the rest, the byte `mark` begins a step that is no bytes for the server, and
/// the byte behind it says which; twice, it is itself.
struct Script {
    enum Step {
        /// One client sends this, in one piece.
        case send(connection: Int, [UInt8])
        case advance(milliseconds: Int64)
        /// From here on each look at the clock moves it.
        case tick(millisecondsPerLook: Int64)
        case check
    }

    /// No letter, and no byte of a binary header that is right.
    static let mark: UInt8 = 0xf5
    static let cut = UInt8(ascii: "|")
    static let connections = UInt8(ascii: "1")...UInt8(ascii: "3")
    static let check = UInt8(ascii: "?")
    /// Followed by a byte: seconds.
    static let second = UInt8(ascii: "+")
    /// Followed by a byte: milliseconds.
    static let tick = UInt8(ascii: "~")

    let options: Int
    /// The same is asked in single bytes, of another server: it answers the same.
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
            // What waits for a server to say something unasked has its turn.
            default:
                finish()
                steps.append(.send(connection: connection, []))
            }
        }
        finish()
    }
}
