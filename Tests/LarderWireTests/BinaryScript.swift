import LarderTesting
import LarderWire

/// A connection without a socket that speaks binary: it takes input in pieces, drives the parser as the
/// server does, and writes down what came out, one line for each step.
struct BinaryScript {
    private var parser = BinaryParser()
    private var request = Request()
    private var unread: [UInt8] = []
    private var skipBytes = 0
    private var awaited: (words: String, valueLength: Int)?
    private(set) var isClosed = false
    private(set) var steps: [String] = []

    init(offersAuthentication: Bool = false) {
        parser.offersAuthentication = offersAuthentication
        parser.isAuthenticated = !offersAuthentication
    }

    /// The steps of `input`, cut before each of `cuts`.
    static func steps(_ input: [UInt8], cuts: [Int] = [], offersAuthentication: Bool = false) -> [String] {
        var script = BinaryScript(offersAuthentication: offersAuthentication)
        var start = 0
        for cut in cuts + [input.count] {
            script.feed(input[start..<cut])
            start = cut
        }
        return script.steps
    }

    mutating func feed(_ bytes: ArraySlice<UInt8>) {
        unread.append(contentsOf: bytes)
        while !isClosed, turn() {}
    }

    /// One step; false when it takes more input to go on.
    private mutating func turn() -> Bool {
        if skipBytes > 0 {
            let count = min(skipBytes, unread.count)
            unread.removeFirst(count)
            skipBytes -= count
            return count > 0
        }
        if let awaited {
            guard unread.count >= awaited.valueLength else { return false }
            steps.append(awaited.words + " value=" + Self.text(unread.prefix(awaited.valueLength)))
            unread.removeFirst(awaited.valueLength)
            self.awaited = nil
            return true
        }
        return parse()
    }

    /// Calls the parser with a copy of the unread bytes that ends where they end.
    private mutating func parse() -> Bool {
        let indent = 5
        let count = indent + unread.count
        let base = UnsafeMutablePointer<UInt8>.allocate(capacity: count)
        defer { base.deallocate() }
        base.initialize(repeating: 0x80, count: count)
        for (index, byte) in unread.enumerated() { base[indent + index] = byte }
        var cursor = indent
        let step = parser.next(base, cursor: &cursor, end: count, request: &request)
        unread.removeFirst(cursor - indent)
        switch step {
        case .needMore:
            return false
        case .close:
            isClosed = true
            steps.append("close")
        case .reject:
            let rejection = parser.rejection
            skipBytes = rejection.swallowBytes
            isClosed = rejection.closes
            steps.append("reject \(rejection.reply)" + (rejection.closes ? " closes" : ""))
        case .value:
            awaited = (Self.words(request, base), request.valueLength)
        case .request, .retrieval, .sets:
            let takesValue = request.verb == .store || request.verb == .authenticate
            let value = UnsafeBufferPointer(start: base + request.valueStart, count: request.valueLength)
            steps.append(Self.words(request, base) + (takesValue ? " value=" + Self.text(value) : ""))
            isClosed = request.verb == .quit
        }
        return true
    }

    private static func words(_ request: Request, _ base: UnsafePointer<UInt8>) -> String {
        let options = request.options
        var words = [
            "\(request.verb)", text(UnsafeBufferPointer(start: base + request.keyStart, count: request.keyLength)),
        ]
        if request.verb == .store { words.append("\(request.storeMode) flags=\(request.clientFlags)") }
        if request.exptime != 0 { words.append("exptime=\(request.exptime)") }
        if request.verb == .arithmetic { words.append("\(request.number) from \(request.initialValue)") }
        if request.cas != 0 { words.append("cas=\(request.cas)") }
        let named: [(Bool, String)] = [
            (options.isQuiet, "quiet"), (options.answersMiss, "answersMiss"), (options.wantsKey, "wantsKey"),
            (options.omitsValue, "omitsValue"), (options.createsItem, "creates"), (options.touches, "touches"),
            (options.decrements, "down"), (options.hasExptime, "hasExptime"), (options.continues, "continues"),
        ]
        words += named.filter(\.0).map(\.1)
        return words.filter { !$0.isEmpty }.joined(separator: " ")
    }

    private static func text(_ bytes: some Sequence<UInt8>) -> String {
        String(decoding: Array(bytes), as: UTF8.self)
    }
}

/// Packets as bytes.
enum PacketMaker {
    static func packet(
        _ opcode: UInt8, extras: [UInt8] = [], key: String = "", value: [UInt8] = [], opaque: UInt32 = 0,
        cas: UInt64 = 0, magic: UInt8 = 0x80, keyLength: UInt16? = nil, extrasLength: UInt8? = nil,
        bodyLength: UInt32? = nil
    ) -> [UInt8] {
        let key = Array(key.utf8)
        let length = UInt32(truncatingIfNeeded: extras.count + key.count + value.count)
        return [magic, opcode] + bytes(keyLength ?? UInt16(truncatingIfNeeded: key.count))
            + [extrasLength ?? UInt8(truncatingIfNeeded: extras.count), 0, 0, 0] + bytes(bodyLength ?? length)
            + bytes(opaque) + bytes(cas) + extras + key + value
    }

    static func bytes(_ number: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
