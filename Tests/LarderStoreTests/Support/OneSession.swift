import LarderStore

/// A session in a class, so that tests can copy it and use it in an expectation.
final class OneSession {
    let session: Session

    init(_ store: Store) throws { session = try store.makeSession() }

    @discardableResult
    func set(_ key: String, to value: [UInt8], now: Int64) -> StoreOutcome { session.set(key, to: value, now: now) }
    func value(of key: String, now: Int64) -> [UInt8]? { session.value(of: key, now: now) }
}
