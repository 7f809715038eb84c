import LarderWire

/// The lines of `-vv` about a connection, in memcached's form. Bytes of the client go through `LogText`.
extension Connection {
    @inline(never)
    func log(_ line: String) { StandardError.write(line, .debug) }

    @inline(never)
    func logEnd() { log(">\(number) END") }

    @inline(never)
    func logReply(_ reply: Reply) {
        let text = TextEncoder.bytes(of: reply)
        let bytes = UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount - 2)
        log(">\(number) \(String(decoding: bytes, as: UTF8.self))")
    }

    @inline(never)
    func logKey(_ what: String, _ key: UnsafePointer<UInt8>, _ length: Int) {
        log(">\(number) \(what) \(LogText.escaped(UnsafeBufferPointer(start: key, count: length)))")
    }

    @inline(never)
    func logLine(_ base: UnsafePointer<UInt8>) {
        if dialect == .binary { return logPacket(base) }
        if dialect == .uwsgi { return logKey("uwsgi \(request.verb)", base + request.keyStart, request.keyLength) }
        let bytes = UnsafeBufferPointer(start: base + parser.lineStart, count: parser.lineLength)
        log("<\(number) \(LogText.escaped(bytes))")
    }

    @inline(never)
    func logDialect() {
        log("\(number): Client using the \(dialect == .binary ? "binary" : "ascii") protocol")
    }

    // MARK: Binary

    @inline(never)
    private func logPacket(_ base: UnsafePointer<UInt8>) {
        logHeader("<\(number) Read binary protocol data:", "<\(number)   ", base + binaryParser.packetStart)
    }

    /// - Parameter header: 24 bytes.
    @inline(never)
    func logAnswer(_ header: UnsafePointer<UInt8>) {
        logHeader(">\(number) Writing bin response:", ">\(number)  ", header)
    }

    private func logHeader(_ title: String, _ indent: String, _ header: UnsafePointer<UInt8>) {
        let lines = stride(from: 0, to: BinaryParser.headerLength, by: 4).map { line in
            let bytes = (line..<line + 4).map { index in
                " 0x" + (header[index] < 16 ? "0" : "") + String(header[index], radix: 16)
            }
            return indent + bytes.joined()
        }
        log(([title] + lines).joined(separator: "\n"))
    }
}
