import NIOCore
import Testing

@testable import LarderClient

@Suite struct ByteBufferValueTests {
    @Test func itsReadableBytesAreTheValue() async throws {
        let cache = try MemoryCache(memoryBytes: 4 << 20)
        var buffer = ByteBuffer(bytes: [1, 2, 3, 0, 255])
        buffer.moveReaderIndex(forwardBy: 1)
        #expect(try EncodedValue(encoding: buffer) == EncodedValue(bytes: [2, 3, 0, 255]))
        try await cache.set("k", buffer)
        #expect(try await cache.get("k", as: ByteBuffer.self) == ByteBuffer(bytes: [2, 3, 0, 255]))
        #expect(try await cache.get("k", as: [UInt8].self) == [2, 3, 0, 255])
        #expect(try await cache.get("none", as: ByteBuffer.self) == nil)
    }
}
