import NIOCore

/// The requests that were sent and are not answered yet, in their order, and the answers of the first of them so far.
///
/// The answers lie here and not with their request: in a place of their own they are appended to, where the elements of
/// a buffer would be copied out and in again, with all earlier answers, for each.
struct InFlightRequests {
    private struct Request {
        let batch: PendingBatch
        let deadline: NIODeadline
    }

    private var requests = CircularBuffer<Request>()
    /// Those of the first request.
    private(set) var answers: [Answer] = []
    private var answerCount = 0
    /// How many at the front have been told that their time is over.
    private var overdueCount = 0

    var isEmpty: Bool { requests.isEmpty }

    /// When the time of the first one is over.
    var firstDeadline: NIODeadline? { requests.first?.deadline }

    /// When the time of the next one is over that has not been told so.
    var nextDeadline: NIODeadline? {
        guard overdueCount < requests.count else { return nil }
        return requests[requests.index(requests.startIndex, offsetBy: overdueCount)].deadline
    }

    mutating func append(_ batch: PendingBatch, deadline: NIODeadline) {
        requests.append(Request(batch: batch, deadline: deadline))
    }

    /// Takes the next answer.
    /// - Returns: whether it was the last one of its request, which then has them all.
    mutating func receive(_ answer: Answer) throws(MemcacheError) -> Bool {
        guard let batch = requests.first?.batch else {
            throw MemcacheError(.protocolViolation, "an answer that nobody asked for")
        }
        guard answerCount < batch.expected.count else {
            throw MemcacheError(.protocolViolation, "an answer too many")
        }
        try batch.expected[answerCount].check(answer)
        if answerCount == 0 { answers.reserveCapacity(batch.expected.count) }
        answerCount += 1
        if !batch.isFinished { answers.append(answer) }
        guard answerCount == batch.expected.count else { return false }
        let finished = answers
        answers = []
        answerCount = 0
        requests.removeFirst()
        if overdueCount > 0 { overdueCount -= 1 }
        batch.finish(.success(finished))
        return true
    }

    /// The first one whose time is over, and that has not been told so.
    mutating func takeOverdue(at now: NIODeadline) -> PendingBatch? {
        guard let deadline = nextDeadline, deadline <= now else { return nil }
        overdueCount += 1
        return requests[requests.index(requests.startIndex, offsetBy: overdueCount - 1)].batch
    }

    /// All of them, the oldest first.
    mutating func takeAll() -> [PendingBatch] {
        defer { self = InFlightRequests() }
        return requests.map(\.batch)
    }
}
