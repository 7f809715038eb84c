import Glibc
import LarderStore
import Testing

@testable import LarderServer

/// Values that may stay in the arena for one attempt to send them only, since too much of it is pinned already.
@Suite final class BriefPinTests {
    private static let valueBytes = 600_000
    private static let valueCount = 10

    private let session: Session
    private var pool: BufferPool
    private let spareBody = SpareBody(memoryLimitBytes: 16 << 20)

    init() throws {
        let store = try Store(StoreConfiguration(memoryBytes: 16 << 20, hashSeed: 1))
        session = try store.makeSession()
        pool = BufferPool(workerCount: 1, memoryLimitBytes: 16 << 20, spare: Unmanaged.passUnretained(spareBody))
        session.begin(now: 0)
        try setAll()
    }

    deinit {
        session.end()
        pool.deallocate()
    }

    private func setAll() throws {
        for number in 0..<Self.valueCount {
            let outcome = set("key\(number)", to: Self.value(number))
            try #require(outcome == .stored)
        }
    }

    private func set(_ key: String, to value: [UInt8]) -> StoreOutcome { session.set(key, to: value, now: 0) }

    /// Each of its bytes tells where it belongs. Made once: that takes longer than the rest.
    private static func value(_ number: Int) -> [UInt8] { Array(bytes[number..<number + valueBytes]) }
    private static let bytes = (0..<valueBytes + valueCount).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 &>> 8) }
    private static let other = [UInt8](repeating: 7, count: 700_000)

    private func item(_ number: Int) throws -> Item {
        let key = Array("key\(number)".utf8)
        let found: Item? = key.withUnsafeBytes { bytes in
            bytes.baseAddress.flatMap { session.find(session.hashed($0, length: bytes.count), now: 0) }
        }
        return try #require(found)
    }

    /// Pins values until no more may be, in the way that outlives a turn.
    private func pinAll() throws -> [Pin] {
        var pins: [Pin] = []
        for number in 0..<Self.valueCount {
            guard let pin = session.pin(try item(number)) else { return pins }
            pins.append(pin)
        }
        return pins
    }

    /// An output with a value in it that is pinned for one attempt.
    private func output(of number: Int, _ output: inout Output) throws {
        let item = try item(number)
        let head = try #require(output.room(4, &pool))
        memcpy(head, "head", 4)
        output.didWrite(4)
        try #require(output.makeRoomForSegment() && output.isFull(with: Self.valueBytes))
        let brief = session.pin(item, isBrief: true)
        let pin = try #require(brief)
        let bytes = UnsafePointer(item.value.assumingMemoryBound(to: UInt8.self))
        output.append(segment: bytes, count: Self.valueBytes, pin: pin, isBrief: true)
        let tail = try #require(output.room(2, &pool))
        memcpy(tail, "\r\n", 2)
        output.didWrite(2)
    }

    private func waiting(in output: Output) -> [UInt8] {
        withUnsafeTemporaryAllocation(of: iovec.self, capacity: Output.vectorsMax) { vectors in
            guard let start = vectors.baseAddress else { return [] }
            return vectors[..<output.gather(start)].reduce(into: []) {
                $0 += UnsafeRawBufferPointer(start: $1.iov_base, count: $1.iov_len)
            }
        }
    }

    /// What of the answer is sent at first: nothing, a part of what is before the value, that, parts of the value, all
    /// of it, and all.
    @Test(arguments: [0, 2, 4, 5, 300_000, valueBytes + 3, valueBytes + 4, valueBytes + 5, valueBytes + 6])
    func whatIsNotSentIsCopied(sent: Int) throws {
        let pins = try pinAll()
        #expect((1..<Self.valueCount).contains(pins.count))
        let last = Self.valueCount - 1
        var output = Output()
        try self.output(of: last, &output)
        output.didSend(sent, session)
        let left = max(0, min(Self.valueBytes, Self.valueBytes + 4 - sent))
        #expect(output.briefBytes == left)
        #expect(output.heldBytes == BufferPool.bufferBytes)

        var spare: UnsafeMutableRawPointer?
        let isCopied = output.copyBriefBytes(&spare, session)
        #expect(isCopied)
        #expect(output.briefBytes == 0)
        // A page more at most.
        #expect((left...left + 8192).contains(output.heldBytes - BufferPool.bufferBytes))
        // All values go, and their memory gets others.
        for pin in pins { session.unpin(pin) }
        session.end()
        session.begin(now: 0)
        for number in 0..<60 {
            let outcome = set("other\(number)", to: Self.other)
            #expect(outcome == .stored)
        }
        // Compared outside: a failure that printed it would take minutes.
        let isWhole =
            waiting(in: output) == Array((Array("head".utf8) + Self.value(last) + Array("\r\n".utf8))[sent...])
        #expect(isWhole)
        output.discard(&pool, session)
        // No pin is left: as many may be put on as at first.
        try setAll()
        let again = try pinAll()
        #expect(again.count == pins.count)
        for pin in again { session.unpin(pin) }
    }

    /// The copy of a client that is let go serves the next one, if it is of about that size.
    @Test(arguments: [(0, 0, true), (0, 200_000, true), (200_000, 0, false), (0, 400_000, false)])
    func memoryIsUsedAgain(sentBefore: Int, sent: Int, isUsed: Bool) throws {
        var spare: UnsafeMutableRawPointer?
        var former = Output()
        try output(of: 0, &former)
        former.didSend(4 + sentBefore, session)
        let isCopied = former.copyBriefBytes(&spare, session)
        #expect(isCopied)
        spare = former.takeCopy()
        let memory = try #require(spare)
        let another = former.takeCopy()
        #expect(another == nil)
        former.discard(&pool, session)

        var latter = Output()
        try output(of: 1, &latter)
        latter.didSend(4 + sent, session)
        let isCopiedToo = latter.copyBriefBytes(&spare, session)
        #expect(isCopiedToo)
        #expect((spare == nil) == isUsed)
        let isWhole = waiting(in: latter) == Array(Self.value(1)[sent...]) + Array("\r\n".utf8)
        #expect(isWhole)
        if isUsed {
            let taken = latter.takeCopy()
            #expect(taken == memory)
        }
        free(memory)
        latter.discard(&pool, session)
    }

    /// What is taken back, or dropped, takes its pin with it.
    @Test func whatIsDroppedIsNotPinned() throws {
        let pins = try pinAll()
        var output = Output()
        let mark = output.mark
        try self.output(of: 9, &output)
        output.takeBack(to: mark, session, damages: 1)
        #expect(output.briefBytes == 0 && output.isEmpty)
        try self.output(of: 9, &output)
        output.discard(&pool, session)
        for pin in pins { session.unpin(pin) }
        let again = try pinAll()
        #expect(again.count == pins.count)
        for pin in again { session.unpin(pin) }
    }

    @Test func theSpareBodyIsOfOneValue() throws {
        let spare = SpareBody(memoryLimitBytes: 64 << 20)
        #expect(spare.take(900_000) == nil)
        let body = try #require(malloc(900_000))
        #expect(!spare.giveBack(body))
        spare.note(unreadBytes: 64 << 20)
        #expect(spare.giveBack(body))
        // Too small for the first, too large for the second.
        #expect(spare.take(1_000_000) == nil && spare.take(200_000) == nil)
        #expect(spare.take(800_000) == body)
        #expect(spare.take(800_000) == nil)
        #expect(spare.giveBack(body))
        // One second in which it was of use, and one in which it was not.
        spare.shrink()
        #expect(spare.take(900_000) == body)
        #expect(spare.giveBack(body))
        spare.shrink()
        spare.shrink()
        #expect(spare.take(900_000) == nil)
        let large = try #require(malloc(3 << 20))
        #expect(!spare.giveBack(large))
        free(large)
        // Clients take their answers.
        let last = try #require(malloc(900_000))
        #expect(spare.giveBack(last))
        spare.note(unreadBytes: 1 << 20)
        spare.shrink()
        #expect(spare.take(900_000) == nil)
    }
}
