/// What is wrong with a file of users.
package enum UserFileError: Error, Equatable {
    case unreadable(path: String, error: Int32)
    /// A line that is not `name:password`.
    case malformed(path: String)
    case tooLarge(path: String)
    /// The file names no user.
    case empty(path: String)

    /// memcached's sentence where it has one.
    package var message: String {
        switch self {
        case .unreadable(let path, let error):
            "Could not open authfile [\(path)] for reading, error \(describe(error: error))"
        case .malformed(let path):
            "Authfile [\(path)] has a malformed entry. Should be 'user:password'"
        case .tooLarge(let path):
            "Authfile [\(path)] is too large: at most \(UserTable.usersMax) users"
        case .empty(let path):
            "Authfile [\(path)] is empty. Should have a line 'user:password' for each user"
        }
    }
}

/// How a file of users is read.
package enum UserFileForm: Sendable {
    /// `-Y`: each line is `name:password`. Any other line is an error.
    case lines
    /// `MEMCACHED_SASL_PWDB`: the same, but a line without a colon is nobody's, and colons at a line's end are no part of
    /// a password, as memcached has it.
    case passwordDatabase
}

/// Names and passwords, laid out so that looking one up takes the same time whatever is asked: every user is
/// compared, every byte of each, and nothing but the outcome of all of it decides.
struct UserTable: Sendable {
    static let usersMax = 1000
    /// The longest name, and the longest password.
    static let fieldLengthMax = 255

    /// A user's record: a name and a password, each a byte of length and 255 bytes padded with zeros.
    private static let recordWords = 64
    private static let fieldBytes = 256
    private let records: [UInt64]

    /// - Throws: when a line is not `name:password`, or when the file has no user. The last line may lack its line end
    ///   if it has a password. Without a line end, a line that ends behind its colon may have been cut off.
    init(
        contents: some Sequence<UInt8>, path: String, form: UserFileForm = .lines
    ) throws(UserFileError) {
        var records: [UInt64] = []
        var lines = contents.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        let isEnded = lines.last?.isEmpty ?? true
        if isEnded { lines.removeLast() }
        if form == .passwordDatabase { lines = lines.filter { $0.contains(UInt8(ascii: ":")) } }
        if lines.isEmpty { throw .empty(path: path) }
        for (number, line) in lines.enumerated() {
            guard records.count < Self.usersMax * Self.recordWords else { throw .tooLarge(path: path) }
            let line = line.prefix { $0 != UInt8(ascii: "\r") }
            let name = line.prefix { $0 != UInt8(ascii: ":") }
            var password = line.dropFirst(name.count + 1)
            if form == .passwordDatabase { while password.last == UInt8(ascii: ":") { password.removeLast() } }
            let isCutOff = !isEnded && number == lines.count - 1 && password.isEmpty
            guard !isCutOff, name.count < line.count, name.count <= Self.fieldLengthMax,
                password.count <= Self.fieldLengthMax, !line.contains(0)
            else { throw .malformed(path: path) }
            let start = records.count
            records += [UInt64](repeating: 0, count: Self.recordWords)
            records.withUnsafeMutableBytes { bytes in
                let record = UnsafeMutableRawBufferPointer(rebasing: bytes[(start * 8)...])
                Array(name).withUnsafeBytes { Self.fill(record, at: 0, $0) }
                Array(password).withUnsafeBytes { Self.fill(record, at: Self.fieldBytes, $0) }
            }
        }
        self.records = records
    }

    /// Puts as much of a field as there is room for into a record of zeros, behind its length.
    private static func fill(
        _ record: UnsafeMutableRawBufferPointer, at start: Int, _ field: UnsafeRawBufferPointer
    ) {
        let length = min(field.count, fieldLengthMax)
        record[start] = UInt8(truncatingIfNeeded: length)
        for index in 0..<length { record[start + 1 + index] = field[index] }
    }

    /// Whether somebody of this name has this password.
    func accepts(name: UnsafeRawBufferPointer, password: UnsafeRawBufferPointer) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Self.recordWords) { asked in
            asked.update(repeating: 0)
            let bytes = UnsafeMutableRawBufferPointer(asked)
            Self.fill(bytes, at: 0, name)
            Self.fill(bytes, at: Self.fieldBytes, password)
            // What was cut off could equal somebody's: it is compared all the same, and then refused.
            let isWhole = name.count <= Self.fieldLengthMax && password.count <= Self.fieldLengthMax
            let found = records.withUnsafeBufferPointer { Self.contains($0, asked) }
            bytes.initializeMemory(as: UInt8.self, repeating: 0)
            return found & (isWhole ? 1 : 0) == 1
        }
    }

    /// 1 when one of the records equals the one asked for, else 0. No branch and no end of a loop depends on
    /// what is compared.
    private static func contains(
        _ records: UnsafeBufferPointer<UInt64>, _ asked: UnsafeMutableBufferPointer<UInt64>
    ) -> UInt64 {
        var found: UInt64 = 0
        var start = 0
        while start < records.count {
            var difference: UInt64 = 0
            for word in 0..<recordWords { difference |= records[start &+ word] ^ asked[word] }
            // The top bit of `d | -d` is set for every d but 0.
            found |= ((difference | (0 &- difference)) &>> 63) ^ 1
            start &+= recordWords
        }
        return found
    }
}
