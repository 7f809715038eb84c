import LarderWire

/// Names and values of statistics, in the order in which they are told. How they are spelled is the
/// dialect's: see `Connection.write(_:_:)`.
struct StatisticsList {
    /// All names and values, one behind the other.
    private var bytes: [UInt8] = []
    /// Where each name and each value ends.
    private var ends: [Int] = []

    var count: Int { ends.count / 2 }

    mutating func add(_ name: String, _ value: some CustomStringConvertible) {
        bytes += name.utf8
        ends.append(bytes.count)
        bytes += value.description.utf8
        ends.append(bytes.count)
    }

    mutating func add(_ name: String, _ value: Bool) { add(name, value ? "yes" : "no") }

    /// Calls `body` with the bytes of each name and its value.
    func visitAll(_ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        bytes.withUnsafeBytes { all in
            var start = 0
            for entry in stride(from: 0, to: ends.count, by: 2) {
                let middle = ends[entry]
                let end = ends[entry + 1]
                body(
                    UnsafeRawBufferPointer(rebasing: all[start..<middle]),
                    UnsafeRawBufferPointer(rebasing: all[middle..<end]))
                start = end
            }
        }
    }
}

/// What comes of asking for statistics, in no dialect.
enum StatisticsAnswer {
    /// Names and values, and then the dialect's end of a list.
    case list(StatisticsList)
    /// A list that is too long to be made at once, its end included.
    case stream(AnswerStream)
    /// Done, or why not.
    case reply(Reply)
}
