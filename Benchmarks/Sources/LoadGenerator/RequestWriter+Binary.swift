import Glibc

/// The opcodes that are sent.
enum BinaryOpcode {
    static let get: UInt8 = 0x00
    static let set: UInt8 = 0x01
    static let getQuietly: UInt8 = 0x09
    static let noOperation: UInt8 = 0x0a
    static let login: UInt8 = 0x21
    static let headerSize = 24
}

extension RequestWriter {
    /// All of a set but its value.
    @inline(__always)
    func writeBinarySet(key: UInt64, length: Int, expiry: Int, opaque: Int, at start: Cursor) -> Cursor {
        let extras = UnsafeMutableRawPointer(start + BinaryOpcode.headerSize)
        // The client flags, then the expiry.
        extras.storeBytes(of: (UInt64(clientFlags) << 32 | UInt64(expiry)).bigEndian, as: UInt64.self)
        let keyPlace = start + (BinaryOpcode.headerSize &+ 8)
        let end = writeDecimal(key, at: write(keyStart, at: keyPlace))
        writeBinaryHeader(
            BinaryOpcode.set, keyLength: end - keyPlace, extrasLength: 8, valueLength: length, opaque: opaque,
            at: start)
        return end
    }

    @inline(__always)
    func writeBinaryGet(
        _ keys: UnsafePointer<UInt64>, _ count: Int, firstOpaque: Int, opaque: Int, at start: Cursor
    ) -> Cursor {
        let isQuiet = count > 1
        let opcode = isQuiet ? BinaryOpcode.getQuietly : BinaryOpcode.get
        var cursor = start
        var index = 0
        while index < count {
            let keyPlace = cursor + BinaryOpcode.headerSize
            let end = writeDecimal(keys[index], at: write(keyStart, at: keyPlace))
            writeBinaryHeader(
                opcode, keyLength: end - keyPlace, extrasLength: 0, valueLength: 0,
                opaque: isQuiet ? firstOpaque &+ index : opaque, at: cursor)
            cursor = end
            index &+= 1
        }
        guard isQuiet else { return cursor }
        writeBinaryHeader(
            BinaryOpcode.noOperation, keyLength: 0, extrasLength: 0, valueLength: 0, opaque: opaque,
            at: cursor)
        return cursor + BinaryOpcode.headerSize
    }

    @inline(__always)
    private func writeBinaryHeader(
        _ opcode: UInt8, keyLength: Int, extrasLength: Int, valueLength: Int, opaque: Int, at start: Cursor
    ) {
        let words = UnsafeMutableRawPointer(start)
        let first =
            0x80 &<< 56 | UInt64(opcode) &<< 48 | UInt64(truncatingIfNeeded: keyLength) &<< 32
            | UInt64(truncatingIfNeeded: extrasLength) &<< 24
        let body = UInt32(truncatingIfNeeded: keyLength &+ extrasLength &+ valueLength)
        let second = UInt64(body) &<< 32 | UInt64(UInt32(truncatingIfNeeded: opaque))
        words.storeBytes(of: first.bigEndian, as: UInt64.self)
        words.storeBytes(of: second.bigEndian, toByteOffset: 8, as: UInt64.self)
        words.storeBytes(of: 0, toByteOffset: 16, as: UInt64.self)
    }
}

/// What a connection begins with where a password is asked for.
func loginRequest(_ credentials: Options.Credentials, _ dialect: Options.Dialect) -> [UInt8] {
    if dialect != .binary {
        let secret = "\(credentials.user) \(credentials.password)"
        return Array("set auth 0 0 \(secret.utf8.count)\r\n\(secret)\r\n".utf8)
    }
    let mechanism = Array("PLAIN".utf8)
    let secret = [0] + Array(credentials.user.utf8) + [0] + Array(credentials.password.utf8)
    var request = [UInt8](repeating: 0, count: BinaryOpcode.headerSize)
    request[0] = 0x80
    request[1] = BinaryOpcode.login
    request[3] = UInt8(mechanism.count)
    let body = mechanism.count + secret.count
    (request[10], request[11]) = (UInt8(body >> 8), UInt8(body & 0xff))
    return request + mechanism + secret
}
