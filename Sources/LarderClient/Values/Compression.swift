import CZlib

/// Whether and how values are deflated, in zlib's format: pylibmc and python-memcached read and write it too.
public struct Compression: Sendable, Hashable {
    /// Values of fewer bytes stay as they are.
    public var bytesMin: Int
    /// 1, fast, to 9, small.
    public var level: Int

    /// Makes a rule.
    /// - Parameters:
    ///   - bytesMin: values of fewer bytes stay as they are.
    ///   - level: 1, fast, to 9, small; others are taken for the nearest.
    public init(bytesMin: Int = 1024, level: Int = 6) {
        self.bytesMin = max(1, bytesMin)
        self.level = min(max(1, level), 9)
    }
}

/// Values on their way to servers and back.
struct ValuePacking: Sendable {
    let compression: Compression?
    let inflatedBytesMax: Int

    /// - Parameter inflatedBytesMax: any number; what no memory could hold anyway is the most.
    init(compression: Compression?, inflatedBytesMax: Int) {
        self.compression = compression
        self.inflatedBytesMax = min(max(0, inflatedBytesMax), 1 << 40)
    }

    /// Deflated where that saves something. A number stays one that servers can count.
    func pack(_ value: EncodedValue) throws(CacheError) -> EncodedValue {
        guard let compression, value.bytes.count >= compression.bytesMin,
            value.flags & (EncodedValue.Flags.integer | EncodedValue.Flags.long | EncodedValue.Flags.zlib)
                == 0,
            let deflated = Zlib.deflate(value.bytes, level: compression.level)
        else { return value }
        return EncodedValue(bytes: deflated, flags: value.flags | EncodedValue.Flags.zlib)
    }

    func unpack(_ item: StoredItem) throws(CacheError) -> EncodedValue {
        try unpack(EncodedValue(bytes: item.bytes, flags: item.flags))
    }

    func unpack(_ value: EncodedValue) throws(CacheError) -> EncodedValue {
        guard value.flags & EncodedValue.Flags.zlib != 0 else { return value }
        guard let inflated = Zlib.inflate(value.bytes, bytesMax: inflatedBytesMax) else {
            throw CacheError(
                .cannotDecode,
                "what was stored deflated cannot be inflated to at most \(inflatedBytesMax) bytes: it is damaged, or larger"
            )
        }
        return EncodedValue(bytes: inflated, flags: value.flags & ~EncodedValue.Flags.zlib)
    }
}

/// zlib, on arrays.
enum Zlib {
    /// nil when it would not be smaller.
    static func deflate(_ bytes: [UInt8], level: Int) -> [UInt8]? {
        guard !bytes.isEmpty else { return nil }
        var count = uLongf(bytes.count - 1)
        var isSmaller = false
        let deflated = [UInt8](unsafeUninitializedCapacity: bytes.count - 1) { target, made in
            // zlib reports a result that does not fit as one that failed.
            guard let start = target.baseAddress else { return }
            isSmaller = compress2(start, &count, bytes, uLong(bytes.count), Int32(clamping: level)) == Z_OK
            made = isSmaller ? Int(count) : 0
        }
        return isSmaller ? deflated : nil
    }

    /// nil when the bytes are not one whole zlib stream, or would become more than `bytesMax`. Takes no more memory
    /// than twice what comes of it, whatever they claim.
    static func inflate(_ bytes: [UInt8], bytesMax: Int) -> [UInt8]? {
        guard bytes.count <= Int(UInt32.max) else { return nil }
        var stream = z_stream()
        guard larder_inflate_init(&stream) == Z_OK else { return nil }
        defer { inflateEnd(&stream) }
        return bytes.withUnsafeBufferPointer { source -> [UInt8]? in
            // SAFETY: zlib only reads its input; its interface is older than const.
            stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
            stream.avail_in = UInt32(bytes.count)
            var inflated: [UInt8] = []
            while true {
                let room = min(max(inflated.count, 4096), bytesMax - inflated.count + 1, 1 << 30)
                var result = Z_OK
                let piece = [UInt8](unsafeUninitializedCapacity: room) { target, made in
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(room)
                    result = CZlib.inflate(&stream, Z_NO_FLUSH)
                    made = room - Int(stream.avail_out)
                }
                inflated += piece
                guard inflated.count <= bytesMax else { return nil }
                if result == Z_STREAM_END { return stream.avail_in == 0 ? inflated : nil }
                guard result == Z_OK, !piece.isEmpty || stream.avail_in > 0 else { return nil }
            }
        }
    }
}
