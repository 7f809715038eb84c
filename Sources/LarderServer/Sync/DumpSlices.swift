import Glibc

/// Divides the work of a dump's thread into slices. The thread rests behind each slice, so that clients get the
/// processor and the lock of the writers.
///
/// A slice ends with the step that reaches a limit. Locks are held within a step only, and no section is open during a
/// rest. So a client waits for one step, or for the rest of one slice where it needs the same processor.
///
/// A class, because parts of a dump share it. Used by one thread.
final class DumpSlices {
    /// What was done since the last rest.
    struct Work: Equatable {
        /// Buckets of the index that were walked. Each takes the lock of the writers once.
        var buckets = 0
        /// Items that were counted, read or stored. All but the counted ones take that lock once each.
        var items = 0
        /// Bytes of the dump.
        var bytes = 0
        /// Steps of other work, which takes no lock.
        var steps = 0
    }

    static let bucketsMax = 16
    static let itemsMax = 64
    static let bytesMax = 64 << 10
    static let stepsMax = 2048
    private static let restMicroseconds: UInt32 = 50

    private var work = Work()
    private let pause: (Work) -> Void

    /// - Parameter pause: what a rest is. Tests give another one.
    init(pause: @escaping (Work) -> Void = { _ in usleep(DumpSlices.restMicroseconds) }) { self.pause = pause }

    /// Whether a rest is due.
    var isFull: Bool {
        work.buckets >= Self.bucketsMax || work.items >= Self.itemsMax || work.bytes >= Self.bytesMax
            || work.steps >= Self.stepsMax
    }

    func note(buckets: Int = 0, items: Int = 0, bytes: Int = 0, steps: Int = 0) {
        work.buckets += buckets
        work.items += items
        work.bytes += bytes
        work.steps += steps
    }

    /// Ends the slice.
    func rest() {
        pause(work)
        work = Work()
    }

    func restIfFull() { if isFull { rest() } }
}

/// The keys of a dump, in blocks of one size. A single array would be copied as a whole when it grows, and its memory
/// would be mapped and unmapped at once.
struct DumpKeys {
    /// Where a key lies.
    struct Place {
        fileprivate let block: UInt32
        private let start: UInt32
        let length: Int

        /// - Parameters:
        ///   - start: the position in the block, less than 2^32.
        ///   - length: 1 to 65,535 bytes.
        init(block: Int = 0, start: Int, length: Int) {
            self.block = UInt32(truncatingIfNeeded: block)
            self.start = UInt32(truncatingIfNeeded: start)
            self.length = length
        }

        var range: Range<Int> { Int(start)..<Int(start) + length }
    }

    private static let blockBytes = 1 << 20
    private var blocks: [[UInt8]] = []

    mutating func add(_ key: UnsafeRawBufferPointer) -> Place {
        if blocks.last.map({ $0.count + key.count > Self.blockBytes }) ?? true {
            blocks.append([])
            blocks[blocks.count - 1].reserveCapacity(Self.blockBytes)
        }
        let block = blocks.count - 1
        let start = blocks[block].count
        blocks[block].append(contentsOf: key)
        return Place(block: block, start: start, length: key.count)
    }

    func withBytes<Result>(of place: Place, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        blocks[Int(place.block)].withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[place.range])) }
    }
}
