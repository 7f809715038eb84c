import Glibc

/// The last record applied, and the state of the file. It is an item in the file, under a key that no other item can
/// have.
///
///      0 version                        u32
///      4 1 after an orderly close       u32
///      8 id applied last                u64
///     16 token of that record           2 × u64
///     32 boot of the machine            2 × u64
///     48 number of the file             u64
///     56 build: a random number, drawn when the file is rebuilt from the log   u64
struct ReplicaState: Equatable {
    var isClosed = false
    var applied = UpdatePoint.start
    /// The boot id when a process applied the log last.
    var boot = BootIdentity.current
    var fileNumber: UInt64 = 0
    var build: UInt64

    /// 251 bytes: the keys of a cache have at most 250.
    static let key: [UInt8] = Array("larder replica state".utf8) + [UInt8](repeating: 0, count: 231)
    private static let version: UInt32 = 1

    init(build: UInt64) { self.build = build }

    func encoded() -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(number: Self.version)
        bytes.append(number: isClosed ? 1 : 0 as UInt32)
        for number in [
            applied.id, applied.token.high, applied.token.low, boot.high, boot.low, fileNumber, build,
        ] {
            bytes.append(number: number)
        }
        return bytes
    }

    /// nil: a version that this program does not know.
    init?(_ bytes: [UInt8]) {
        var reader = ByteReader(bytes)
        guard reader.number(UInt32.self) == Self.version, let closed = reader.number(UInt32.self) else { return nil }
        var numbers: [UInt64] = []
        while let number = reader.number(UInt64.self) { numbers.append(number) }
        guard numbers.count == 7, reader.isAtEnd else { return nil }
        isClosed = closed == 1
        applied = UpdatePoint(id: numbers[0], token: UpdateToken(high: numbers[1], low: numbers[2]))
        boot = BootIdentity(high: numbers[3], low: numbers[4])
        fileNumber = numbers[5]
        build = numbers[6]
    }

    /// Whether the file certainly has all changes that were applied. While the machine runs, its memory has the pages
    /// that the disk lacks. After a power failure only a file that was closed is complete.
    /// - Parameter number: the inode of the file. A copy of a file in use may be incomplete, and has another inode.
    func isTrusted(inFile number: UInt64) -> Bool {
        isClosed || (boot.isKnown && boot == .current && fileNumber == number)
    }
}

/// The system's random number for each boot of the machine.
struct BootIdentity: Equatable {
    var high: UInt64
    var low: UInt64

    /// False if the system does not have the number.
    var isKnown: Bool { high != 0 || low != 0 }

    static let current: BootIdentity = {
        guard let file = try? OpenFile("/proc/sys/kernel/random/boot_id", O_RDONLY),
            let text = try? file.read(at: 0, count: 64)
        else { return BootIdentity(high: 0, low: 0) }
        var numbers: (UInt64, UInt64) = (0, 0)
        for digit in text.compactMap({ Character(UnicodeScalar($0)).hexDigitValue }) {
            numbers = (numbers.0 << 4 | numbers.1 >> 60, numbers.1 << 4 | UInt64(digit))
        }
        return BootIdentity(high: numbers.0, low: numbers.1)
    }()
}
