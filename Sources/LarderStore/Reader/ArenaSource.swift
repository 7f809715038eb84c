import CLarderArena
import Glibc

/// Where a reader has an arena's bytes from. Offsets and counts lie inside the arena: the caller has
/// compared them with its bounds.
protocol ArenaSource {
    /// What is at `offset`: the arena itself, or a copy that lasts until the same `place` is used again.
    func bytes(at offset: Int, count: Int, _ place: ArenaPlace) -> UnsafeRawPointer?
    /// False when the bytes could not be had.
    func copy(at offset: Int, count: Int, to target: UnsafeMutableRawPointer) -> Bool
}

/// The things that a reader looks at, each with a place of its own for a copy.
enum ArenaPlace: Int {
    case superblock = 0
    case directory = 256
    case line = 320
    case record = 384
    case item = 448

    /// The longest header and short key are 289 bytes. A long key is read with `longKey`.
    static let itemBytes = 320
    static let allBytes = item.rawValue + itemBytes
}

extension ArenaSource {
    /// A copy of a long key; nil if it would reach beyond the arena, or could not be had.
    @inline(never)
    func longKey(at offset: Int, count: Int, of geometry: Geometry) -> [UInt8]? {
        guard count > 0, offset >= 0, count <= geometry.arenaBytes &- offset else { return nil }
        var isThere = false
        let key = [UInt8](unsafeUninitializedCapacity: count) { bytes, initialized in
            guard let start = bytes.baseAddress else { return }
            isThere = copy(at: offset, count: count, to: start)
            initialized = isThere ? count : 0
        }
        return isThere ? key : nil
    }
}

/// The arena mapped: nothing is copied, and no system call made.
///
/// SAFETY: `base` is mapped for reading as far as the arena goes; pages that go missing are replaced by
/// the guard of `guard.c`.
struct MappedSource: ArenaSource {
    let base: UnsafeRawPointer

    @inline(__always)
    func bytes(at offset: Int, count: Int, _ place: ArenaPlace) -> UnsafeRawPointer? { base + offset }

    @inline(__always)
    func copy(at offset: Int, count: Int, to target: UnsafeMutableRawPointer) -> Bool {
        memcpy(target, base + offset, count)
        return true
    }
}

/// The file read with `pread`: some microseconds a read, for programs that cannot have a handler for
/// SIGBUS.
struct DescriptorSource: ArenaSource {
    let fd: Int32
    /// `ArenaPlace.allBytes` of them.
    let scratch: UnsafeMutableRawPointer

    func bytes(at offset: Int, count: Int, _ place: ArenaPlace) -> UnsafeRawPointer? {
        copy(at: offset, count: count, to: scratch + place.rawValue)
            ? UnsafeRawPointer(scratch + place.rawValue) : nil
    }

    func copy(at offset: Int, count: Int, to target: UnsafeMutableRawPointer) -> Bool {
        assert(offset >= 0 && count >= 0)
        var done = 0
        while done < count {
            let read = pread(fd, target + done, count - done, off_t(offset + done))
            if read < 0, errno == EINTR { continue }
            // A file that was truncated ends early.
            guard read > 0 else { return false }
            done += read
        }
        return true
    }
}
