import Synchronization

/// Lets tasks pass one after another: those that are about the same key, and everybody past one that is about all
/// keys. Nobody is overtaken by who waits for the same.
final class KeyTurns: Sendable {
    enum Scope: Sendable, Hashable {
        case key(String)
        case everything
    }

    fileprivate enum Phase {
        case entering
        case waiting(CheckedContinuation<Bool, Never>)
        case passing
        case cancelled
    }
    fileprivate struct Turn {
        let number: UInt64
        let scope: Scope
        var phase = Phase.entering
    }
    fileprivate struct Queue {
        var turns: [Turn] = []
        var lastNumber: UInt64 = 0
    }

    private let queue = Mutex(Queue())

    /// Waits for the turn, and has it while `body` runs.
    /// - Throws: what `body` throws; `CacheError` with the code `cancelled` when the task is cancelled before its
    ///   turn.
    func pass<Result: Sendable>(
        _ scope: Scope, _ body: () async throws(CacheError) -> Result
    ) async throws(CacheError) -> Result {
        let number = try await begin(scope)
        defer { end(number) }
        return try await body()
    }

    private func begin(_ scope: Scope) async throws(CacheError) -> UInt64 {
        let (number, mayPass) = queue.withLock { queue in
            queue.lastNumber += 1
            queue.turns.append(Turn(number: queue.lastNumber, scope: scope))
            _ = Self.admit(&queue)
            return (queue.lastNumber, queue.isPassing(queue.lastNumber))
        }
        if mayPass { return number }
        let isGranted = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer = queue.withLock { $0.wait(number, continuation) }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            leave(number)
        }
        guard isGranted else {
            end(number)
            throw CacheError(.cancelled, "the task was cancelled")
        }
        return number
    }

    private func end(_ number: UInt64) {
        let admitted = queue.withLock { queue in
            queue.turns.removeAll { $0.number == number }
            return Self.admit(&queue)
        }
        for continuation in admitted { continuation.resume(returning: true) }
    }

    private func leave(_ number: UInt64) {
        let continuation = queue.withLock { $0.cancel(number) }
        continuation?.resume(returning: false)
    }

    /// Lets those pass whom nobody before them holds up.
    private static func admit(_ queue: inout Queue) -> [CheckedContinuation<Bool, Never>] {
        var admitted: [CheckedContinuation<Bool, Never>] = []
        var keys: Set<String> = []
        for place in queue.turns.indices {
            let isFree: Bool
            switch queue.turns[place].scope {
            case .everything: isFree = place == queue.turns.startIndex
            case .key(let key): isFree = keys.insert(key).inserted
            }
            if isFree {
                switch queue.turns[place].phase {
                case .entering: queue.turns[place].phase = .passing
                case .waiting(let continuation):
                    queue.turns[place].phase = .passing
                    admitted.append(continuation)
                case .passing, .cancelled: break
                }
            }
            if queue.turns[place].scope == .everything { break }
        }
        return admitted
    }
}

extension KeyTurns.Queue {
    fileprivate func isPassing(_ number: UInt64) -> Bool {
        guard let turn = turns.first(where: { $0.number == number }) else { return false }
        if case .passing = turn.phase { return true }
        return false
    }

    /// - Returns: the answer, where there is no need to wait for it.
    fileprivate mutating func wait(_ number: UInt64, _ continuation: CheckedContinuation<Bool, Never>)
        -> Bool?
    {
        guard let place = turns.firstIndex(where: { $0.number == number }) else { return false }
        switch turns[place].phase {
        case .entering:
            turns[place].phase = .waiting(continuation)
            return nil
        case .passing: return true
        case .waiting, .cancelled: return false
        }
    }

    /// - Returns: who is to be told.
    fileprivate mutating func cancel(_ number: UInt64) -> CheckedContinuation<Bool, Never>? {
        guard let place = turns.firstIndex(where: { $0.number == number }) else { return nil }
        switch turns[place].phase {
        case .passing, .cancelled: return nil
        case .entering:
            turns[place].phase = .cancelled
            return nil
        case .waiting(let continuation):
            turns[place].phase = .cancelled
            return continuation
        }
    }
}
