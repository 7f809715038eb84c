import Glibc
import LoadGenerator

/// Changes bytes of a file.
enum Damage {
    static func damage(_ path: String, _ random: inout SeededRandom) {
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let size = Int(lseek(descriptor, 0, SEEK_END))
        guard size > 1 << 16 else { return }
        func below(_ bound: Int) -> Int { Int(random.next(below: UInt64(bound))) }
        switch below(8) {
        case 0: _ = ftruncate(descriptor, off_t(below(size)))
        case 1: _ = ftruncate(descriptor, off_t(size + 1 + below(1 << 20)))
        case 2, 3: for _ in 0...below(200) { flip(descriptor, below(size), UInt8(1 << below(8))) }
        case 4: overwrite(descriptor, at: below(size), count: 512 << below(8)) { _ in 0 }
        case 5:
            var noise = random
            overwrite(descriptor, at: below(size), count: 512 << below(8)) { _ in
                UInt8(truncatingIfNeeded: noise.next())
            }
            random = noise
        case 6: swapPages(descriptor, below(size >> 12), below(size >> 12))
        // The first page, which holds the superblock.
        default: flip(descriptor, below(4096), UInt8(1 << below(8)))
        }
    }

    /// Deletes the files that the server has set aside after earlier damage. They would fill a small file system.
    static func remove(setAside path: String) {
        for number in 1...64 { unlink("\(path).bad-\(number)") }
    }

    private static func flip(_ descriptor: Int32, _ place: Int, _ bits: UInt8) {
        var byte: UInt8 = 0
        guard pread(descriptor, &byte, 1, off_t(place)) == 1 else { return }
        byte ^= bits
        _ = pwrite(descriptor, &byte, 1, off_t(place))
    }

    private static func overwrite(_ descriptor: Int32, at place: Int, count: Int, _ byte: (Int) -> UInt8) {
        let bytes = (0..<count).map(byte)
        _ = pwrite(descriptor, bytes, count, off_t(place))
    }

    private static func swapPages(_ descriptor: Int32, _ first: Int, _ second: Int) {
        var one = [UInt8](repeating: 0, count: 4096)
        var other = one
        _ = pread(descriptor, &one, 4096, off_t(first * 4096))
        _ = pread(descriptor, &other, 4096, off_t(second * 4096))
        _ = pwrite(descriptor, other, 4096, off_t(first * 4096))
        _ = pwrite(descriptor, one, 4096, off_t(second * 4096))
    }
}
