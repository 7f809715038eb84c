import LarderTesting

@testable import LarderStore

/// A reader that takes and gives arrays.
final class ReaderDriver {
    private var reader: StoreReader

    init(_ path: String, access: StoreReader.Access = .mapped) throws {
        reader = try StoreReader(path: path, access: access)
    }

    func read(_ key: [UInt8], now: Int64) -> ReadOutcome<FoundItem> {
        key.withUnsafeBytes { key in
            reader.withValue(key, now: now) { item in
                FoundItem(
                    value: [UInt8](item.value), clientFlags: item.clientFlags,
                    expiry: item.expiryMilliseconds,
                    cas: item.cas)
            }
        }
    }

    func value(of key: String) -> ReadOutcome<[UInt8]> { reader.value(of: key) }
    func keys(now: Int64) -> [[UInt8]]? { reader.keys(now: now) }
    var now: Int64 { reader.now }
}
