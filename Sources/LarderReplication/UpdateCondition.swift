/// The version that a key must have when a conditional change is applied: the id of the record that set its value.
///
/// All replicas apply the same records in the same order, so that a condition holds on all of them, or on none.
public struct UpdateCondition: Hashable, Sendable {
    /// A version, or a distance.
    var number: UInt64
    /// Whether `number` counts back from the record's own id.
    var isRelative: Bool

    /// The key must not be there.
    public static let isMissing = UpdateCondition(number: 0, isRelative: false)

    /// The record of this id has set the key's value.
    public static func isVersion(_ id: UInt64) -> UpdateCondition { UpdateCondition(number: id, isRelative: false) }

    /// A record of the same append has set the key's value: the one that is `distance` records before this one. Its id
    /// is not known yet when the append is made.
    public static func isRecordBefore(distance: Int) -> UpdateCondition {
        UpdateCondition(number: UInt64(distance), isRelative: true)
    }

    /// Whether it holds.
    /// - Parameters:
    ///   - version: of the key; nil: it is not there.
    ///   - id: of the record that has the condition.
    func holds(for version: UInt64?, at id: UInt64) -> Bool {
        guard isRelative else { return version ?? 0 == number }
        return version == id &- number
    }
}

extension UpdateChange {
    /// Whether the change depends on what the key has.
    var isConditional: Bool {
        if case .conditional = self { return true }
        return false
    }

    /// The change without its condition; nil if the condition does not hold.
    /// - Parameters:
    ///   - id: of the record.
    ///   - versionOf: the id of the record that set a key's value; nil: the key is not there.
    func decided(at id: UInt64, _ versionOf: ([UInt8]) -> UInt64?) -> UpdateChange? {
        guard case .conditional(let key, let value, let flags, let condition) = self else { return self }
        guard condition.holds(for: versionOf(key), at: id) else { return nil }
        return value.map { UpdateChange.set(key: key, value: $0, flags: flags) } ?? .delete(key: key)
    }
}
