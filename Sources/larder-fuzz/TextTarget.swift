import Glibc
import LarderTesting
import LarderWire

/// The text parser, with the meta commands. Its steps must not depend on how the input is cut, or on whether requests
/// are taken in batches.
struct TextTarget: Fuzzed {
    func run(_ input: [UInt8]) {
        guard let input = ParserInput(input) else { return }
        var whole = TextRun(takesBatches: false)
        whole.feed(input.bytes, to: input.bytes.count)
        var cut = TextRun(takesBatches: input.choice & 1 != 0)
        for end in input.ends { cut.feed(input.bytes, to: end) }
        guard input.linesEnd else { return }
        // A batch has fewer fields of each request, so only those are compared.
        let isSame = cut.takesBatches ? cut.plainSteps == whole.plainSteps : cut.steps == whole.steps
        if !isSame { fault("the steps depend on where the input is cut, or on batches") }
    }
}

/// Drives the text parser as the server does, and notes a digest of each step.
private struct TextRun: ParserRun {
    let takesBatches: Bool
    /// Digests of all fields of each step.
    private(set) var steps = ParserSteps()
    /// The same, but with only the fields that a batch has: keys of retrievals, and the item of a set.
    private(set) var plainSteps = ParserSteps()
    private let room = BatchRoom()
    private var parser = TextParser()
    private var request = Request()
    var start = 0
    var swallowBytes = 0
    /// The digests of a request whose value has not arrived yet.
    private var awaited: (full: Digest, plain: Digest)?
    private(set) var isClosed = false

    init(takesBatches: Bool) { self.takesBatches = takesBatches }

    var isAwaitingValue: Bool { awaited != nil }

    mutating func parse(_ copy: borrowing Copy, _ cursor: inout Int) -> ParseStep {
        parser.next(copy.base, cursor: &cursor, end: copy.count, request: &request)
    }

    mutating func note(_ step: ParseStep, _ copy: borrowing Copy) {
        switch step {
        case .needMore: break
        case .close:
            isClosed = true
            add(Digest("close"))
        case .reject: reject()
        case .value:
            guard request.valueLength >= 0 else { fault("a value of \(request.valueLength) bytes") }
            awaited = digests(copy)
        case .request, .retrieval, .sets:
            var (full, plain) = digests(copy)
            if request.verb == .store || request.verb == .metaStore {
                full.add(copy.bytes(request.valueStart, request.valueLength))
                plain.add(copy.bytes(request.valueStart, request.valueLength))
            }
            steps.add(full)
            plainSteps.add(plain)
            isClosed = request.verb == .quit
        }
    }

    private mutating func add(_ digest: Digest) {
        steps.add(digest)
        plainSteps.add(digest)
    }

    private mutating func reject() {
        let rejection = parser.rejection
        guard rejection.swallowBytes >= 0 else { fault("\(rejection.swallowBytes) bytes to pass over") }
        swallowBytes = rejection.swallowBytes
        var digest = Digest("\(rejection.reply)")
        digest.add(rejection.isSilent)
        add(digest)
        isClosed = rejection.closes
    }

    mutating func takeAwaitedValue(_ bytes: [UInt8], _ end: Int) -> Bool {
        let valueEnd = start + request.valueLength
        guard var (full, plain) = awaited, end >= valueEnd + 2 else { return false }
        awaited = nil
        if bytes[valueEnd] == UInt8(ascii: "\r"), bytes[valueEnd + 1] == UInt8(ascii: "\n") {
            full.add(bytes[start..<valueEnd])
            plain.add(bytes[start..<valueEnd])
            steps.add(full)
            plainSteps.add(plain)
        } else {
            var digest = Digest("\(Reply.badDataChunk)")
            digest.add(request.options.noReply)
            add(digest)
        }
        start = valueEnd + 2
        return true
    }

    // MARK: Digests

    private func digests(_ copy: borrowing Copy) -> (full: Digest, plain: Digest) {
        let full = Digest(request, in: copy)
        guard request.verb != .quit else { return (full, full) }
        var plain = full
        let key = copy.bytes(request.keyStart, request.keyLength)
        switch request.verb {
        case .retrieve where !request.options.wantsCas && !request.options.touches:
            plain = Self.retrieval(key, isLast: request.options.lastOfRetrieval)
        case .metaGet:
            tryMeta(copy)
            plain = Self.metaGet(key)
        case .store where request.storeMode == .set && !request.options.noReply:
            plain = Self.set(key, flags: request.clientFlags, exptime: request.exptime)
        case .metaStore, .metaDelete, .metaArithmetic, .metaDebug: tryMeta(copy)
        default: break
        }
        return (full, plain)
    }

    private static func retrieval(_ key: UnsafeBufferPointer<UInt8>, isLast: Bool) -> Digest {
        var digest = Digest("get")
        digest.add(key)
        digest.add(isLast)
        return digest
    }
    private static func metaGet(_ key: UnsafeBufferPointer<UInt8>) -> Digest {
        var digest = Digest("mg")
        digest.add(key)
        return digest
    }
    private static func set(_ key: UnsafeBufferPointer<UInt8>, flags: UInt32, exptime: Int64) -> Digest {
        var digest = Digest("set")
        digest.add(key)
        digest.add(flags)
        digest.add(exptime)
        return digest
    }

    // MARK: Batches

    mutating func takeBatch(_ copy: borrowing Copy, _ cursor: inout Int) -> Bool {
        let step = parser.next(
            copy.base, cursor: &cursor, end: copy.count, request: &request,
            room: room.step, countMax: StepRoom.countMax)
        guard cursor <= copy.count else { fault("the cursor is at \(cursor) of \(copy.count)") }
        switch step {
        case .retrieval:
            let taken = parser.taken
            guard (1...16).contains(taken.count) else { fault("\(taken.count) keys at once") }
            // Some batches give back all keys but the first, as the server may do.
            let kept = taken.count > 1 && copy.base[0] & 1 != 0 ? 1 : taken.count
            if kept < taken.count { parser.giveBack(room.keys[kept], isFirst: false, cursor: &cursor) }
            for key in 0..<kept { note(room.keys[key], taken, copy) }
        case .sets:
            guard (1...16).contains(parser.taken.count) else {
                fault("\(parser.taken.count) sets at once")
            }
            for number in 0..<parser.taken.count { note(room.sets[number], copy) }
        default:
            note(step, copy)
            return step != .needMore
        }
        return true
    }

    private mutating func note(_ key: RetrievalKey, _ taken: TakenKeys, _ copy: borrowing Copy) {
        guard (1...250).contains(key.length) else { fault("a key of \(key.length) bytes") }
        if case .meta = taken.form {
            _ = copy.bytes(key.flagsStart, Int(key.flagsLength))
            return plainSteps.add(Self.metaGet(copy.bytes(key.start, key.length)))
        }
        request.take(key, taken)
        plainSteps.add(digests(copy).plain)
    }

    private mutating func note(_ set: ArrivedSet, _ copy: borrowing Copy) {
        var digest = Self.set(
            copy.bytes(set.keyStart, set.keyLength), flags: set.clientFlags, exptime: set.exptime)
        digest.add(copy.bytes(set.valueStart, set.valueLength))
        plainSteps.add(digest)
    }

    // MARK: Meta answers

    /// Decodes a key, and writes each kind of answer that repeats the request's flags.
    private func tryMeta(_ copy: borrowing Copy) {
        let key = copy.bytes(request.keyStart, request.keyLength)
        let flags = copy.bytes(Int(request.meta.flagsStart), Int(request.meta.flagsLength))
        guard let keyStart = key.baseAddress, let flagsStart = flags.baseAddress else { return }
        // SAFETY: a decoded key is no longer than its text, and no answer is longer than `answerLengthMax`. The address
        // sanitizer reports a longer one.
        let decoded = UnsafeMutablePointer<UInt8>.allocate(capacity: max(1, key.count))
        let out = UnsafeMutablePointer<UInt8>.allocate(capacity: MetaEncoder.answerLengthMax)
        defer {
            decoded.deallocate()
            out.deallocate()
        }
        let length = Base64Key.decode(keyStart, key.count, into: decoded)
        let isBinary = request.meta.decodedKeyLength > 0
        if isBinary, length != Int(request.meta.decodedKeyLength) {
            fault("a key of \(length) bytes in base64")
        }
        var facts = MetaFacts(
            key: isBinary ? UnsafePointer(decoded) : keyStart, keyLength: isBinary ? length : key.count)
        facts.keyIsBinary = isBinary
        (facts.cas, facts.clientFlags, facts.valueLength) = (UInt64.max, UInt32.max, 1 << 30)
        (facts.isStale, facts.isWinSent, facts.isWon, facts.wasFetched) = (true, true, true, true)
        let lengths = [
            MetaEncoder.encodeRetrieval(
                facts, withValue: true, flags: flagsStart, flagsLength: flags.count, at: out),
            MetaEncoder.encodeStorage(.exists, facts, flags: flagsStart, flagsLength: flags.count, at: out),
            MetaEncoder.encodeCode(.notFound, facts, flags: flagsStart, flagsLength: flags.count, at: out),
            MetaEncoder.encodeArithmetic(
                UInt64.max, facts, flags: flagsStart, flagsLength: flags.count, at: out),
            MetaEncoder.encodeDebug(facts, itemBytes: 1 << 30, at: out),
        ]
        if lengths.contains(where: { $0 > MetaEncoder.answerLengthMax }) {
            fault("an answer is too long: \(lengths)")
        }
    }
}
