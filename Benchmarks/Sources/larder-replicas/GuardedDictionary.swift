import Synchronization

/// A dictionary behind a mutex: what a program would use in its own process.
final class GuardedDictionary: Sendable {
    private let values: Mutex<[[UInt8]: [UInt8]]>

    init(_ values: [[UInt8]: [UInt8]]) { self.values = Mutex(values) }

    func value(_ key: [UInt8]) -> [UInt8]? { values.withLock { $0[key] } }
}
