import Synchronization

/// A value that tasks share.
final class Shared<Value: Sendable>: Sendable {
    private let content: Mutex<Value>

    init(_ value: Value) { content = Mutex(value) }

    var value: Value { content.withLock { $0 } }

    @discardableResult
    func change<Result: Sendable>(_ body: @Sendable (inout Value) -> Result) -> Result {
        content.withLock { body(&$0) }
    }
}

extension Shared<Int> {
    /// Counts one more.
    @discardableResult
    func next() -> Int {
        change {
            $0 += 1
            return $0
        }
    }
}
