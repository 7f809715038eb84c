import NIOCore

extension ByteBuffer: PlainValue {
    /// What can be read of it.
    var encoded: EncodedValue { EncodedValue(bytes: Array(readableBytesView), flags: Self.flags) }
    static var flags: UInt32 { 0 }

    init?(decoding value: EncodedValue) { self.init(bytes: value.bytes) }
}
