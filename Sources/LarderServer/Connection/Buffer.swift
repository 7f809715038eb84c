import CLarderSystem
import Glibc

/// Bytes between `start` and `end` of a piece of memory; the rest is room.
///
/// A trivial value: whoever holds it gives it back to the pool that it came from.
struct Buffer {
    private(set) var base: UnsafeMutablePointer<UInt8>
    private(set) var capacity: Int
    var start = 0
    var end = 0

    /// No memory at all; the address is never used, there being no room at it.
    static var empty: Buffer { Buffer(base: UnsafeMutablePointer(bitPattern: 8)!, capacity: 0) }

    init(base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    /// The same bytes in memory of little more than their size; nil when there is none.
    init?(copying other: Buffer) {
        let capacity = other.count + 64
        guard let memory = malloc(capacity) else { return nil }
        // SAFETY: the new memory is larger than what is copied.
        memcpy(memory, other.base + other.start, other.count)
        self.init(base: memory.assumingMemoryBound(to: UInt8.self), capacity: capacity)
        end = other.count
    }

    @inline(__always)
    var count: Int { end &- start }
    @inline(__always)
    var room: Int { capacity &- end }
    var isAllocated: Bool { capacity > 0 }

    /// Forgets the bytes.
    @inline(__always)
    mutating func empty() {
        start = 0
        end = 0
    }

    /// Moves the bytes to the front.
    mutating func compact() {
        guard start > 0 else { return }
        // SAFETY: both ranges lie inside the buffer; memmove allows them to overlap.
        if count > 0 { memmove(base, base + start, count) }
        end -= start
        start = 0
    }

    /// Makes the memory larger; false when there is none.
    mutating func grow(to newCapacity: Int) -> Bool {
        guard newCapacity > capacity else { return true }
        guard let memory = realloc(capacity > 0 ? UnsafeMutableRawPointer(base) : nil, newCapacity) else {
            return false
        }
        base = memory.assumingMemoryBound(to: UInt8.self)
        capacity = newCapacity
        return true
    }
}

/// Buffers of one size that a worker's connections take turns with: an idle connection has none,
/// and the one used last is the one in the processor's cache.
struct BufferPool {
    /// What one read takes in at most; memcached's size, which decides how long a line may be.
    static let bufferBytes = 16 << 10
    private static let keptMax = 64
    private var kept: UnsafeMutablePointer<UnsafeMutablePointer<UInt8>>
    private var keptCount = 0
    /// The fewest that were at hand since the last `shrink`: that many are not needed.
    private var unusedCount = 0
    /// Bytes freed since the last `shrink`.
    private var freedBytes = 0

    /// What values in pieces that are larger are put together in comes from the system, and goes back to it, page by
    /// page, which costs more than to copy the value.
    private static let bodyBytesMin = 64 << 10
    private static let keptBodiesMax = 32
    /// Of all workers together, at most, and of a server with less memory in proportion.
    private static let keptBodiesBytesMax = 8 << 20
    private static let keptBodiesDivisor = 128
    private let keptBytesMax: Int
    /// Of larger ones.
    private let spare: Unmanaged<SpareBody>
    private var bodiesBytes = 0
    private var bodies: UnsafeMutablePointer<UnsafeMutableRawPointer>
    private var bodyCount = 0
    /// The fewest since the last `shrink`.
    private var unusedBodyCount = 0

    /// - Parameters:
    ///   - workerCount: how many have one.
    ///   - memoryLimitBytes: of the server's items.
    ///   - spare: lives longer than the pool.
    init(workerCount: Int, memoryLimitBytes: Int, spare: Unmanaged<SpareBody>) {
        self.spare = spare
        let ofAll = min(Self.keptBodiesBytesMax, memoryLimitBytes / Self.keptBodiesDivisor)
        keptBytesMax = ofAll / max(1, workerCount)
        kept = .allocate(capacity: Self.keptMax)
        bodies = .allocate(capacity: Self.keptBodiesMax)
    }

    /// Memory for a value in pieces; nil when there is none.
    mutating func takeBody(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        guard byteCount >= Self.bodyBytesMin else { return malloc(byteCount) }
        guard byteCount <= keptBytesMax else {
            return spare._withUnsafeGuaranteedRef { $0.take(byteCount) } ?? malloc(byteCount)
        }
        for place in (0..<bodyCount).reversed() {
            let memory = bodies[place]
            // One of another size is of use, too, but not for little that would hold much.
            let size = larder_usable_size(memory)
            guard (byteCount...4 * byteCount).contains(size) else { continue }
            bodyCount -= 1
            bodiesBytes -= size
            bodies[place] = bodies[bodyCount]
            unusedBodyCount = min(unusedBodyCount, bodyCount)
            return memory
        }
        return malloc(byteCount)
    }

    mutating func giveBackBody(_ memory: UnsafeMutableRawPointer) {
        let byteCount = larder_usable_size(memory)
        guard bodyCount < Self.keptBodiesMax, byteCount >= Self.bodyBytesMin,
            bodiesBytes + byteCount <= keptBytesMax
        else {
            if byteCount > keptBytesMax, spare._withUnsafeGuaranteedRef({ $0.giveBack(memory) }) { return }
            freedBytes &+= byteCount
            return free(memory)
        }
        bodiesBytes += byteCount
        bodies[bodyCount] = memory
        bodyCount += 1
    }

    /// Takes a buffer; nil when there is no memory.
    @inline(__always)
    mutating func take() -> Buffer? {
        if keptCount > 0 {
            keptCount &-= 1
            unusedCount = min(unusedCount, keptCount)
            return Buffer(base: kept[keptCount], capacity: Self.bufferBytes)
        }
        return takeNew()
    }

    @inline(never)
    private func takeNew() -> Buffer? {
        guard let memory = malloc(Self.bufferBytes) else { return nil }
        return Buffer(base: memory.assumingMemoryBound(to: UInt8.self), capacity: Self.bufferBytes)
    }

    @inline(__always)
    mutating func giveBack(_ buffer: inout Buffer) {
        if buffer.capacity == Self.bufferBytes, keptCount < Self.keptMax {
            kept[keptCount] = buffer.base
            keptCount &+= 1
        } else if buffer.isAllocated {
            drop(buffer)
        }
        buffer = .empty
    }

    @inline(never)
    private mutating func drop(_ buffer: Buffer) {
        freedBytes &+= buffer.capacity
        free(buffer.base)
    }

    /// Frees what has not been needed since the last call; true when so much was freed since then
    /// that the system should have it back.
    mutating func shrink() -> Bool {
        for _ in 0..<unusedCount {
            keptCount -= 1
            free(kept[keptCount])
            freedBytes += Self.bufferBytes
        }
        unusedCount = keptCount
        for _ in 0..<unusedBodyCount {
            bodyCount -= 1
            let size = larder_usable_size(bodies[bodyCount])
            freedBytes += size
            bodiesBytes -= size
            free(bodies[bodyCount])
        }
        unusedBodyCount = bodyCount
        defer { freedBytes = 0 }
        return freedBytes >= Self.trimBytesMin
    }

    /// Fewer bytes than this are not worth a walk through the C library's lists.
    private static let trimBytesMin = 256 << 10

    func deallocate() {
        for place in 0..<keptCount { free(kept[place]) }
        kept.deallocate()
        for place in 0..<bodyCount { free(bodies[place]) }
        bodies.deallocate()
    }
}
