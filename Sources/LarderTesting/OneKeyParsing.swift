package import LarderWire

/// The parsers one request for each call, and one key of a retrieval, for tests that compare requests.
extension TextParser {
    package mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, request: inout Request
    ) -> ParseStep {
        let room = StepRoom()
        defer { room.deallocate() }
        let step = next(base, cursor: &cursor, end: end, request: &request, room: room, countMax: 1)
        guard case .retrieval = step else { return step }
        request.take(room.keys[0], taken)
        return .request
    }
}

extension BinaryParser {
    package mutating func next(
        _ base: UnsafePointer<UInt8>, cursor: inout Int, end: Int, request: inout Request
    ) -> ParseStep {
        var key = RetrievalKey()
        let step = withUnsafeMutablePointer(to: &key) { key in
            next(base, cursor: &cursor, end: end, request: &request, keys: key, countMax: 1)
        }
        guard case .retrieval = step else { return step }
        request.take(key, taken)
        return .request
    }
}

extension Request {
    /// Becomes the request for a key that a parser has taken.
    package mutating func take(_ key: RetrievalKey, _ taken: TakenKeys) {
        let (exptime, omitsValue) = (exptime, options.omitsValue)
        self = Request()
        if taken.touches {
            self.exptime = exptime
            options.omitsValue = omitsValue
        }
        verb = .retrieve
        options.wantsCas = taken.wantsCas
        options.touches = taken.touches
        options.wantsKey = key.wantsKey
        options.answersMiss = taken.form == .packet && !key.isQuiet
        options.firstOfRetrieval = !taken.continuesLine
        options.lastOfRetrieval = key.isLast && (taken.form == .get || taken.form == .classic)
        keyStart = key.start
        keyLength = key.length
        packetTag = key.tag
    }
}
