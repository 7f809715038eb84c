import LarderTesting
import LarderWire

/// What a connection without a socket makes of packets.
typealias BinaryScript = WireScript<BinaryParser>

extension BinaryParser: ScriptedParser {
    static var terminator: [UInt8] { [] }

    /// A parser of a server with or without `-S`, to which nobody has logged in.
    init(offersAuthentication: Bool) {
        self.init()
        self.offersAuthentication = offersAuthentication
        isAuthenticated = !offersAuthentication
    }

    static func words(for request: Request, _ base: UnsafePointer<UInt8>) -> [String] {
        let options = request.options
        var words = [
            "\(request.verb)", UnsafeBufferPointer(start: base + request.keyStart, count: request.keyLength).text,
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
        return words
    }
}
