import LarderTesting
import LarderWire
import Testing

/// A parser that random input is thrown at.
protocol FuzzedParser: ScriptedParser {
    /// The longest input whose steps do not depend on where it is cut.
    static var uncutLengthMax: Int { get }
    /// Whether what a call said, and where it pointed, lies within what it was given.
    func isSound(_ step: ParseStep, _ request: Request, before: Int, cursor: Int, end: Int) -> Bool
}

/// Random and damaged input: nothing traps, no call reads or points outside the buffer,
/// every call gets on, and where the input is cut makes no difference.
struct ParserFuzz<Parser: FuzzedParser> {
    let seed: UInt64
    var random: SeededRandom

    init(seed: UInt64) {
        self.seed = seed
        random = SeededRandom(seed: seed)
    }

    /// Parses `count` pieces of input, up to six at a time.
    mutating func parse(
        _ count: Int, _ piece: (inout SeededRandom) -> [UInt8], by parser: (inout SeededRandom) -> Parser
    ) throws {
        var parsed = 0
        while parsed < count {
            let together = Int.random(in: 1...6, using: &random)
            parsed += together
            let input = makeInput(together, piece)
            let parser = parser(&random)
            try run(input, by: parser)
        }
    }

    /// Holds the steps of 1000 inputs against those of the same input in pieces.
    mutating func cut(
        pieces: Int, _ piece: (inout SeededRandom) -> [UInt8], by parser: (inout SeededRandom) -> Parser
    ) {
        for _ in 0..<1000 {
            let input = Array(makeInput(pieces, piece).prefix(Parser.uncutLengthMax))
            let parser = parser(&random)
            let whole = WireScript.steps(input, by: parser)
            let cuts = (0..<pieces).map { _ in Int.random(in: 0...input.count, using: &random) }.sorted()
            let same = WireScript.steps(input, cuts: cuts, by: parser) == whole
            #expect(same, "seed \(seed), cuts \(cuts), input \(input)")
            if !same { return }
        }
    }

    private mutating func makeInput(_ count: Int, _ piece: (inout SeededRandom) -> [UInt8]) -> [UInt8] {
        var input: [UInt8] = []
        for _ in 0..<count { input += piece(&random) }
        return input
    }

    /// Drives one parser over `input`, which arrives in pieces.
    private mutating func run(_ input: [UInt8], by parser: Parser) throws {
        var parser = parser
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, input.count))
        defer { base.deallocate() }
        base.initialize(from: input, count: input.count)
        var request = Request()
        var cursor = 0
        var end = Int.random(in: 0...input.count, using: &random)
        while true {
            let before = cursor
            let step = parser.next(base, cursor: &cursor, end: end, request: &request)
            let isSound = parser.isSound(step, request, before: before, cursor: cursor, end: end)
            try #require(isSound, "seed \(seed), \(step) at \(before), input \(input)")
            switch step {
            case .needMore:
                if end == input.count { return }
                end = Int.random(in: (end + 1)...input.count, using: &random)
            case .close:
                return
            case .reject:
                if parser.rejection.closes { return }
                cursor = min(cursor + parser.rejection.swallowBytes, end)
            case .value:
                cursor = min(cursor + request.valueLength + Parser.terminator.count, end)
            case .request, .retrieval, .sets:
                break
            }
        }
    }
}
