import NIOCore

/// Lines, and the data behind them, to answers.
struct MetaAnswerDecoder: AnswerDecoder {
    /// No line of an answer is longer: a key, and numbers.
    static let lineBytesMax = 2048

    private let valueBytesMax: Int
    var buffer = ByteBuffer()
    /// How many bytes at the front are known to hold no line end.
    private var searchedCount = 0
    /// An answer whose data has not come yet, how long that is, and what follows it.
    private var awaited: (answer: Answer, length: Int, end: StaticString)?

    init(valueBytesMax: Int) {
        self.valueBytesMax = max(0, min(valueBytesMax, Int(UInt32.max >> 1)))
    }

    mutating func next() throws(MemcacheError) -> Answer? {
        if awaited == nil {
            guard let line = try takeLine() else { return nil }
            let (answer, length) = try AnswerLine.parse(line)
            guard let length else { return answer }
            guard length <= valueBytesMax else {
                throw MemcacheError(.protocolViolation, "the server sends a value of \(length) bytes")
            }
            awaited = (answer, length, answer.code == .cluster ? "\r\nEND\r\n" : "\r\n")
        }
        return try takeData()
    }

    private mutating func takeLine() throws(MemcacheError) -> ByteBufferView? {
        let view = buffer.readableBytesView
        let searched = view.startIndex + searchedCount
        guard let end = view[searched...].firstIndex(of: UInt8(ascii: "\n")) else {
            searchedCount = view.count
            guard view.count <= Self.lineBytesMax else {
                throw MemcacheError(.protocolViolation, "the server sends a line without end")
            }
            return nil
        }
        searchedCount = 0
        let count = end - view.startIndex
        guard count >= 1, count <= Self.lineBytesMax, view[end - 1] == UInt8(ascii: "\r") else {
            throw MemcacheError(.protocolViolation, "the server sends a line that does not end as lines do")
        }
        buffer.moveReaderIndex(forwardBy: count + 1)
        return view[view.startIndex..<(end - 1)]
    }

    private mutating func takeData() throws(MemcacheError) -> Answer? {
        guard let (answer, length, end) = awaited else { return nil }
        let endCount = end.utf8CodeUnitCount
        guard buffer.readableBytes >= length + endCount else { return nil }
        var finished = answer
        finished.bytes = buffer.readBytes(length: length) ?? []
        let follows = buffer.readString(length: endCount) ?? ""
        guard follows == end.description else {
            throw MemcacheError(.protocolViolation, "the server's value is longer than it says")
        }
        awaited = nil
        return finished
    }
}
