import NIOCore

/// A language that servers understand: requests to bytes, and bytes to answers.
///
/// All else about a connection is the same in each of them.
protocol WireDialect: Sendable {
    /// What is said before the first request, step by step.
    func opening(_ authentication: Authentication?) -> [OpeningStep]
    /// - Parameters:
    ///   - firstOpaque: the first of as many numbers as there will be answers.
    ///   - commandCount: how many commands to make room for.
    func makeEncoder(firstOpaque: UInt64, commandCount: Int) -> any RequestEncoder
    /// - Parameter valueBytesMax: no value is longer, or the server is not to be trusted.
    func makeDecoder(valueBytesMax: Int) -> any AnswerDecoder
    /// What the answers to a lease come to; nil when they are none.
    func lease(_ answers: [Answer]) -> Lease<StoredItem>?
}

/// Requests as bytes. Each command has an opaque of its own, counted up.
protocol RequestEncoder {
    /// The commands so far.
    var bytes: ByteBuffer { get }
    /// One for each answer that they will have.
    var expected: [ExpectedAnswer] { get }

    mutating func get(_ key: String) throws(MemcacheError)
    /// As `get`; the answer says how long the item has left, where the dialect can.
    mutating func getWithTimeLeft(_ key: String) throws(MemcacheError)
    /// How long the item has left, and what else there is to know of it but its value: flags, cas and length.
    mutating func timeLeft(_ key: String) throws(MemcacheError)
    /// The same of an item that ends then, in seconds since 1970, which is made where it is missing.
    mutating func timeLeft(_ key: String, until end: Int64) throws(MemcacheError)
    /// - Parameter cas: what the item that is there has to have; nil where that does not matter.
    mutating func store(
        _ mode: StoreMode, _ item: NewItem, seconds: Int64, cas: UInt64?
    ) throws(MemcacheError)
    mutating func delete(_ key: String) throws(MemcacheError)
    mutating func add(
        _ delta: Int64, to key: String, initial: UInt64?, seconds: Int64
    ) throws(MemcacheError)
    mutating func touch(_ key: String, seconds: Int64) throws(MemcacheError)
    /// The value, or a stand-in that lives so long and gives one caller the right to make the value. It may have two
    /// answers.
    mutating func lease(_ key: String, seconds: Int) throws(MemcacheError)
    /// Adds bytes to the value that there is.
    mutating func extend(_ end: ValueEnd, _ item: NewItem) throws(MemcacheError)
    /// A command with the caller's flags.
    mutating func meta(_ command: MetaCommand) throws(MemcacheError)
    mutating func flushAll()
    /// Asks for an answer and nothing else.
    mutating func ping()
    mutating func clusterConfiguration() throws(MemcacheError)
}

/// Bytes to answers. What comes may be anything: it is an error, or an answer, and never more than so many bytes are
/// kept.
protocol AnswerDecoder {
    /// What has come and is not read yet.
    var buffer: ByteBuffer { get set }
    /// The next answer; nil when more bytes are needed.
    mutating func next() throws(MemcacheError) -> Answer?
}

extension AnswerDecoder {
    mutating func append(_ incoming: inout ByteBuffer) {
        if buffer.readableBytes == 0 {
            buffer = incoming
        } else {
            buffer.discardReadBytes()
            buffer.writeBuffer(&incoming)
        }
    }
}

/// Something that a client says before its first request.
struct OpeningStep: Sendable {
    /// Empty when the step before has said it already.
    var bytes = ByteBuffer()
    /// What the server answers if all is well.
    let code: Answer.Code
    var expected = ExpectedAnswer()
    /// What the server does not take if it answers something else.
    let what: String
    /// Whether it tells who the client is.
    var isLogin = false
}

/// The lengths that keys may have on the wire.
enum WireKey {
    static let bytesMax = 250

    static func check(bytes count: Int, of key: String) throws(MemcacheError) {
        guard count > 0 else { throw MemcacheError(.invalidKey, "the key is empty") }
        guard count <= bytesMax else {
            throw MemcacheError(.invalidKey, "a key of \(key.utf8.count) bytes is too long")
        }
    }

    /// What is sent at once has to fit a buffer of NIO's, whose places are 32 bits wide.
    static func checkRoom(for count: Int, after bytes: ByteBuffer) throws(MemcacheError) {
        guard count < Int(Int32.max) - bytes.writerIndex else {
            throw MemcacheError(
                .clientError, "these values are more than 2 GiB together: store them one by one")
        }
    }
}
