import CLarderSystem
import Glibc
import LarderStore

/// What is to be sent: bytes of its own, and between them values that stay where they are.
///
/// Small values are copied, which is cheaper than an entry of a gather list; large ones are sent
/// from the arena, pinned until the last byte is gone. When too much of the arena is pinned already, a large
/// one that is sent next is pinned for the attempt only: what the socket does not take then is copied.
struct Output {
    /// Values longer than this are not copied.
    static let copiedValueMax = 4 << 10
    /// Bytes waiting from which a connection sends before it goes on.
    static let highWaterBytes = 48 << 10
    /// Values waiting from which it does.
    static let segmentsMax = 16

    struct Segment {
        /// Where in the buffer it belongs.
        var position: Int
        var bytes: UnsafePointer<UInt8>
        var count: Int
        /// What keeps the bytes in the arena.
        var pin: Pin?
        /// Whether the pin comes off in the turn that it was put on: when the socket takes no more, the rest is copied.
        var isBrief: Bool
        /// Memory of the segment's own, to be freed.
        var owned: UnsafeMutableRawPointer?
    }

    private(set) var buffer = Buffer.empty
    private var segments: UnsafeMutablePointer<Segment>?
    private var segmentCount = 0
    private var segmentsSent = 0
    /// Bytes in segments that are not sent yet.
    private var segmentBytes = 0
    /// Whether unsent answers may contain data of a damaged store. They must not be sent.
    var isSpoiled = false
    /// `StoreDamage.count` when everything unsent was found to be sound after a change of it; 0: not yet.
    private(set) var damagesJudged: UInt32 = 0

    @inline(__always)
    var isEmpty: Bool { buffer.count == 0 && segmentBytes == 0 }
    @inline(__always)
    var pendingBytes: Int { buffer.count &+ segmentBytes }
    /// Whether to send before answering more.
    @inline(__always)
    var isFull: Bool { pendingBytes >= Self.highWaterBytes || segmentCount >= Self.segmentsMax }

    /// Where in the buffer writing is to end as long as there is room and the output is not full; 0 where it is.
    var fillMax: Int {
        segmentCount >= Self.segmentsMax ? 0 : min(buffer.capacity, buffer.start &+ Self.highWaterBytes &- segmentBytes)
    }

    /// Whether the last thing written is the answer to `mn`.
    var endsWithMetaNoop: Bool {
        let noop: StaticString = "MN\r\n"
        guard buffer.count >= 4 else { return false }
        // SAFETY: the last four bytes lie in the buffer.
        return memcmp(buffer.base + buffer.end - 4, noop.utf8Start, 4) == 0
    }

    // MARK: Writing

    /// Room for `count` bytes at the end; nil when there is no memory. Follow it by `didWrite`.
    @inline(__always)
    mutating func room(_ count: Int, _ pool: inout BufferPool) -> UnsafeMutablePointer<UInt8>? {
        if buffer.room >= count { return buffer.base + buffer.end }
        return moreRoom(count, &pool)
    }

    private mutating func moreRoom(_ count: Int, _ pool: inout BufferPool) -> UnsafeMutablePointer<UInt8>? {
        if !buffer.isAllocated {
            guard let taken = pool.take() else { return nil }
            buffer = taken
        }
        if buffer.room < count, !buffer.grow(to: max(buffer.capacity * 2, buffer.end + count)) { return nil }
        return buffer.base + buffer.end
    }

    @inline(__always)
    mutating func didWrite(_ count: Int) { buffer.end &+= count }

    /// Makes sure that `append` succeeds; false when there is no memory, or too much to send already.
    mutating func makeRoomForSegment() -> Bool {
        if segments == nil {
            let bytes = Self.segmentsMax * MemoryLayout<Segment>.stride
            segments = malloc(bytes)?.bindMemory(to: Segment.self, capacity: Self.segmentsMax)
        }
        return segments != nil && segmentCount < Self.segmentsMax
    }

    /// Adds bytes that stay where they are. `makeRoomForSegment` has said yes.
    mutating func append(
        segment bytes: UnsafePointer<UInt8>, count: Int, pin: Pin?, isBrief: Bool = false,
        owned: UnsafeMutableRawPointer? = nil
    ) {
        guard let segments, segmentCount < Self.segmentsMax else { return }
        segments[segmentCount] = Segment(
            position: buffer.end, bytes: bytes, count: count, pin: pin, isBrief: isBrief, owned: owned)
        segmentCount += 1
        segmentBytes += count
    }

    /// A position in the output, for `takeBack`.
    struct Mark {
        fileprivate var bufferEnd: Int
        fileprivate var segmentCount: Int
    }

    @inline(__always)
    var mark: Mark { Mark(bufferEnd: buffer.end, segmentCount: segmentCount) }

    /// Removes what was written since a mark, because a store was damaged. Nothing of it may have been sent.
    /// - Parameter damages: `StoreDamage.count` when the damage was noted.
    mutating func takeBack(to mark: Mark, _ session: borrowing Session, damages: UInt32) {
        buffer.end = mark.bufferEnd
        if let segments {
            while segmentCount > mark.segmentCount {
                segmentCount -= 1
                segmentBytes -= segments[segmentCount].count
                release(segments[segmentCount], session)
            }
        }
        if isEmpty { damagesJudged = damages }
    }

    // MARK: Sending

    /// Entries that one gather list has at most: each segment and the bytes before it, and the rest.
    static let vectorsMax = 2 * segmentsMax + 1

    /// Fills a gather list with what is to be sent, in order.
    func gather(_ vectors: UnsafeMutablePointer<iovec>) -> Int {
        var count = 0
        var position = buffer.start
        if let segments {
            for number in segmentsSent..<segmentCount {
                let segment = segments[number]
                if segment.position > position {
                    vectors[count] = iovec(iov_base: buffer.base + position, iov_len: segment.position - position)
                    count += 1
                    position = segment.position
                }
                let bytes = UnsafeMutableRawPointer(mutating: segment.bytes)
                vectors[count] = iovec(iov_base: bytes, iov_len: segment.count)
                count += 1
            }
        }
        if buffer.end > position {
            vectors[count] = iovec(iov_base: buffer.base + position, iov_len: buffer.end - position)
            count += 1
        }
        return count
    }

    /// True when the buffer holds the whole answer, and the answer is not empty.
    @inline(__always)
    var hasBytesOnly: Bool { buffer.count != 0 && !hasSegments }

    @inline(__always)
    var hasSegments: Bool { segmentsSent < segmentCount }

    /// Whether a value waits to be sent from a store in a file, which other programs may change.
    var sendsFromFile: Bool {
        guard let segments else { return false }
        for number in segmentsSent..<segmentCount where segments[number].pin?.isInFile ?? false { return true }
        return false
    }

    /// Takes note that the first `count` bytes are sent.
    @inline(__always)
    mutating func didSend(_ count: Int, _ session: borrowing Session) {
        if hasSegments { didSendGathered(count, session) } else { buffer.start &+= count }
    }

    @inline(never)
    private mutating func didSendGathered(_ count: Int, _ session: borrowing Session) {
        var left = count
        while left > 0, let segments, segmentsSent < segmentCount {
            let before = min(left, segments[segmentsSent].position - buffer.start)
            buffer.start += before
            left -= before
            let taken = min(left, segments[segmentsSent].count)
            segments[segmentsSent].bytes += taken
            segments[segmentsSent].count -= taken
            segmentBytes -= taken
            left -= taken
            guard segments[segmentsSent].count == 0, segments[segmentsSent].position == buffer.start else { break }
            release(segments[segmentsSent], session)
            segmentsSent += 1
        }
        buffer.start &+= left
    }

    /// Bytes of memory that the output holds, without the values in the arena.
    var heldBytes: Int {
        var bytes = buffer.capacity
        guard let segments else { return bytes }
        for number in segmentsSent..<segmentCount {
            if let owned = segments[number].owned { bytes += larder_usable_size(owned) }
        }
        return bytes
    }

    // MARK: Values that may not stay

    /// Whether the output is full with a value of so many bytes: then it is sent before anything else is done.
    func isFull(with count: Int) -> Bool { pendingBytes + count >= Self.highWaterBytes }

    /// Bytes that are not sent of values that may not wait where they lie.
    var briefBytes: Int {
        var bytes = 0
        guard let segments else { return bytes }
        for number in segmentsSent..<segmentCount where segments[number].isBrief { bytes += segments[number].count }
        return bytes
    }

    /// Copies those bytes, into `spare` if that fits, and takes the pins off; false when there is no memory.
    mutating func copyBriefBytes(_ spare: inout UnsafeMutableRawPointer?, _ session: borrowing Session) -> Bool {
        guard let segments else { return true }
        for number in segmentsSent..<segmentCount where segments[number].isBrief {
            let count = segments[number].count
            let size = larder_usable_size(spare)
            // Not much for little: what is held is counted by the size of the memory.
            let isOfUse = size >= count && size / 2 <= count
            guard let copy = isOfUse ? spare : malloc(count) else { return false }
            if isOfUse { spare = nil }
            // SAFETY: the memory has room for the bytes, which the pin keeps in place.
            memcpy(copy, segments[number].bytes, count)
            segments[number].bytes = UnsafePointer(copy.assumingMemoryBound(to: UInt8.self))
            segments[number].owned = copy
            segments[number].isBrief = false
            if let pin = segments[number].pin { session.unpin(pin) }
            segments[number].pin = nil
        }
        return true
    }

    /// Takes the memory of a value's copy out of an output that is about to be discarded.
    mutating func takeCopy() -> UnsafeMutableRawPointer? {
        guard let segments else { return nil }
        for number in segmentsSent..<segmentCount {
            guard let owned = segments[number].owned else { continue }
            segments[number].owned = nil
            return owned
        }
        return nil
    }

    private func release(_ segment: Segment, _ session: borrowing Session) {
        free(segment.owned)
        if let pin = segment.pin { session.unpin(pin) }
    }

    /// Begins anew once everything is sent. A buffer that a large answer has made larger goes back.
    @inline(__always)
    mutating func reset(_ pool: inout BufferPool) {
        if segments != nil { dropSegments() }
        if buffer.capacity == BufferPool.bufferBytes { return buffer.empty() }
        pool.giveBack(&buffer)
    }

    /// Gives all memory back once everything is sent.
    mutating func giveBack(_ pool: inout BufferPool) {
        if segments != nil { dropSegments() }
        pool.giveBack(&buffer)
    }

    @inline(never)
    private mutating func dropSegments() {
        free(segments)
        segments = nil
        segmentCount = 0
        segmentsSent = 0
    }

    /// Drops what is not sent.
    mutating func discard(_ pool: inout BufferPool, _ session: borrowing Session) {
        if let segments {
            for number in segmentsSent..<segmentCount { release(segments[number], session) }
        }
        segmentBytes = 0
        isSpoiled = false
        giveBack(&pool)
    }
}
