import CLarderArena
import Glibc
import LarderStore
import LarderTesting

/// The file of a small store with fixed items.
final class StoreImage {
    static let now: Int64 = 1_700_000_000_000
    static let keyCount = 100
    private static let slabBytes = 1024

    let bytes: [UInt8]
    let file: StoreTestFile
    let configuration: StoreConfiguration

    init() {
        do {
            file = try StoreTestFile()
            var configuration = StoreConfiguration(
                memoryBytes: 64 * Self.slabBytes, slabBytes: Self.slabBytes, hashSeed: 5, filePath: file.path)
            configuration.openedAtMilliseconds = Self.now
            self.configuration = configuration
            do {
                let driver = try StoreDriver(Store(configuration))
                driver.turn(Self.now, Self.fill)
            }
            bytes = try file.bytes
        } catch {
            fault("no store: \(error)")
        }
    }

    private static func fill(_ driver: StoreDriver) {
        for round in 0...1 {
            for number in 0..<keyCount {
                let expiry = number % 3 == 0 ? Int64.max : now + Int64(1000 * number)
                // The first round stores values that the second round replaces. No get may return them.
                let value = round == 0 ? [UInt8].value(40, seed: 99) : value(number)
                _ = driver.store(
                    .set, key(number), value, flags: UInt32(number % 2), expiry: expiry, now: now)
            }
        }
        for number in stride(from: 0, to: keyCount, by: 9) { _ = driver.delete(key(number), now: now) }
    }

    static func key(_ number: Int) -> [UInt8] { Array("key-\(number)".utf8) }

    static func value(_ number: Int) -> [UInt8] {
        .value(number % 40 == 1 ? 2500 : 20 + number, seed: UInt64(number))
    }

    /// Whether a value belongs to another key. A value that belongs to no key is allowed: libFuzzer can find its
    /// checksum.
    static func isWrong(_ value: [UInt8], under key: Int) -> Bool {
        guard value != Self.value(key), value.count >= 20 else { return false }
        return (0..<keyCount).contains { $0 != key && Self.value($0) == value }
    }

    // MARK: Mutations

    /// The image after the edits of an input. An edit is a byte with its kind, three bytes with its place, and its
    /// data.
    func edited(_ input: [UInt8]) -> [UInt8] {
        var bytes = bytes
        var place = 0
        func number(_ count: Int) -> Int? {
            guard place + count <= input.count else { return nil }
            defer { place += count }
            return input[place..<place + count].reduce(0) { $0 << 8 | Int($1) }
        }
        while let kind = number(1), let offset = number(3) {
            let target = bytes.isEmpty ? 0 : offset % bytes.count
            switch kind & 7 {
            case 0, 1, 2:
                // The kind byte also has the length of the data, less one.
                let count = min(kind >> 3 + 1, input.count - place, bytes.count - target)
                for byte in 0..<max(0, count) { bytes[target + byte] = input[place + byte] }
                place += max(0, count)
            case 3:
                for byte in target..<min(bytes.count, target + 8 << (kind >> 4)) {
                    bytes[byte] = kind & 8 == 0 ? 0 : 0xff
                }
            case 4: copy(number(3) ?? 0, to: target, 8 << (kind >> 6), &bytes)
            case 5: bytes.removeLast(bytes.count - target)
            case 6: bytes += [UInt8](repeating: 0, count: min(offset, 1 << 14))
            default: sign(&bytes)
            }
        }
        return bytes
    }

    private func copy(_ from: Int, to: Int, _ count: Int, _ bytes: inout [UInt8]) {
        guard bytes.count >= count else { return }
        let from = from % (bytes.count - count + 1) & ~7
        let to = min(to & ~7, bytes.count - count)
        let piece = Array(bytes[from..<from + count])
        bytes.replaceSubrange(to..<to + count, with: piece)
    }

    /// Makes the checksum of the first superblock match its fields.
    private func sign(_ bytes: inout [UInt8]) {
        guard bytes.count >= MemoryLayout<larder_superblock>.size else { return }
        // SAFETY: there are at least as many bytes as a superblock has.
        bytes.withUnsafeMutableBytes { raw in
            var superblock = raw.loadUnaligned(as: larder_superblock.self)
            superblock.fixed_check = larder_superblock_check(&superblock)
            withUnsafeBytes(of: superblock) { raw.copyMemory(from: $0) }
        }
    }

    /// The first inputs: one edit of each kind, in each part of the file.
    static let seeds: [[UInt8]] = {
        let places = [0, 8, 40, 100, 152, 1024, 1088, 2048, 4096, 8192, 20000, 40000, 63 * 1024, 64 * 1024]
        return places.flatMap { place -> [[UInt8]] in
            let offset = [UInt8(place >> 16), UInt8(place >> 8 & 255), UInt8(place & 255)]
            return [
                [0] + offset + [0xff], [7 << 3] + offset + [1, 0, 0, 0, 0, 0, 0, 0], [3] + offset,
                [3 + 8 + 16 * 3] + offset,
                [4] + offset + [0, 0x40, 0], [5] + offset, [6] + offset,
                [3 << 3] + offset + [1, 2, 3, 4, 7, 0, 0, 0],
            ]
        }
    }()
}
