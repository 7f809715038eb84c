import Glibc
import LarderTesting
import LarderWire

/// The binary parser. Its steps must not depend on how the input is cut, or on whether requests are taken in batches.
struct BinaryTarget: Fuzzed {
    func run(_ input: [UInt8]) {
        guard let input = ParserInput(input) else { return }
        let authenticates = input.choice & 2 != 0
        var whole = BinaryRun(takesBatches: false, authenticates: authenticates)
        whole.feed(input.bytes, to: input.bytes.count)
        var cut = BinaryRun(takesBatches: input.choice & 1 != 0, authenticates: authenticates)
        for end in input.ends { cut.feed(input.bytes, to: end) }
        if cut.steps != whole.steps { fault("the steps depend on where the input is cut, or on batches") }
    }
}

/// Drives the binary parser, and notes a digest of each step.
private struct BinaryRun: ParserRun {
    private(set) var steps = ParserSteps()
    let takesBatches: Bool
    private let room = BatchRoom()
    private var parser = BinaryParser()
    private var request = Request()
    var start = 0
    var swallowBytes = 0
    /// The digest of a request whose value has not arrived yet.
    private var awaited: Digest?
    private(set) var isClosed = false

    init(takesBatches: Bool, authenticates: Bool) {
        self.takesBatches = takesBatches
        parser.offersAuthentication = authenticates
        parser.isAuthenticated = !authenticates
    }

    var isAwaitingValue: Bool { awaited != nil }

    mutating func takeAwaitedValue(_ bytes: [UInt8], _ end: Int) -> Bool {
        guard var digest = awaited, end - start >= request.valueLength else { return false }
        digest.add(bytes[start..<start + request.valueLength])
        steps.add(digest)
        start += request.valueLength
        awaited = nil
        return true
    }

    mutating func parse(_ copy: borrowing Copy, _ cursor: inout Int) -> ParseStep {
        parser.next(copy.base, cursor: &cursor, end: copy.count, request: &request)
    }

    mutating func note(_ step: ParseStep, _ copy: borrowing Copy) {
        switch step {
        case .needMore: break
        case .close:
            isClosed = true
            steps.add(Digest("close"))
        case .reject:
            let rejection = parser.rejection
            guard (0...BinaryParser.bodyLengthMax).contains(rejection.swallowBytes) else {
                fault("\(rejection.swallowBytes) bytes to pass over")
            }
            swallowBytes = rejection.swallowBytes
            isClosed = rejection.closes
            steps.add(Digest("\(rejection.reply)"))
        case .value, .request, .retrieval, .sets:
            var digest = digest(copy)
            if step == .value {
                guard (0...BinaryParser.bodyLengthMax).contains(request.valueLength) else {
                    fault("a value of \(request.valueLength) bytes")
                }
                awaited = digest
                return
            }
            if hasValue { digest.add(copy.bytes(request.valueStart, request.valueLength)) }
            steps.add(digest)
        }
    }

    private var hasValue: Bool { request.verb == .store || request.verb == .authenticate }

    private func digest(_ copy: borrowing Copy) -> Digest {
        // A plain retrieval has the digest that a batch makes.
        if request.verb == .retrieve, !request.options.touches, !request.options.omitsValue {
            return Self.retrieval(
                copy.bytes(request.keyStart, request.keyLength), request.packetTag,
                isQuiet: !request.options.answersMiss, wantsKey: request.options.wantsKey)
        }
        return Digest(request, in: copy)
    }

    private static func retrieval(
        _ key: UnsafeBufferPointer<UInt8>, _ tag: PacketTag, isQuiet: Bool, wantsKey: Bool
    ) -> Digest {
        var digest = Digest("get")
        digest.add(key)
        digest.add(tag.opcode)
        digest.add(tag.opaque)
        digest.add(isQuiet)
        digest.add(wantsKey)
        return digest
    }

    mutating func takeBatch(_ copy: borrowing Copy, _ cursor: inout Int) -> Bool {
        let step = parser.next(
            copy.base, cursor: &cursor, end: copy.count, request: &request,
            keys: room.keys, countMax: 16)
        guard cursor <= copy.count else { fault("the cursor is at \(cursor) of \(copy.count)") }
        guard case .retrieval = step else {
            note(step, copy)
            return step != .needMore
        }
        for key in 0..<parser.taken.count {
            request.take(room.keys[key], parser.taken)
            steps.add(digest(copy))
        }
        return true
    }
}
