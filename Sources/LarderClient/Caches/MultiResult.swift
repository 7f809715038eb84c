/// The answer for many keys: the values that could be read, and an error for each key that could not be read.
///
/// A key without a value in the cache has no entry in either of them.
public struct MultiResult<Value: Sendable>: Sendable {
    /// The values that were read.
    public var values: [String: Value]
    /// The reason for each key whose value could not be read: its server is down, or its bytes are of another type.
    public var failures: [String: CacheError]

    /// Makes a result, for your own implementation of `Cache`.
    public init(values: [String: Value] = [:], failures: [String: CacheError] = [:]) {
        self.values = values
        self.failures = failures
    }
}

/// The answer of several servers: the items that were read, and an error for each key whose server did not answer.
public struct PartialItems: Sendable {
    /// The items that were read.
    public var items: [String: StoredItem]
    /// The reason for each key whose server did not answer.
    public var failures: [String: any Error]

    /// Makes an answer, for your own implementation of `ItemServers`.
    public init(items: [String: StoredItem] = [:], failures: [String: any Error] = [:]) {
        self.items = items
        self.failures = failures
    }

    /// Takes the answer of one server for some of the keys.
    init(for keys: [String], _ body: () async throws -> [String: StoredItem]) async {
        self.init()
        do { items = try await body() } catch { for key in keys { failures[key] = error } }
    }
}

extension Cache {
    /// The values of the keys that can be read, and an error for each other key.
    ///
    /// `getMulti` throws at the first of these errors. This function returns all other values, even if a server is down
    /// or a value is of another type.
    public func getMultiResult<Value: Codable & Sendable>(
        _ keys: [String], as type: Value.Type = Value.self, namespace: String? = nil
    ) async -> MultiResult<Value> {
        let found = await valuesResult(of: keys, namespace: namespace)
        var result = MultiResult<Value>(failures: found.failures)
        for (key, value) in found.values {
            do { result.values[key] = try value.decoded(as: type, key) } catch { result.failures[key] = error }
        }
        return result
    }

    /// All values, or one error for all keys.
    public func valuesResult(of keys: [String], namespace: String?) async -> MultiResult<EncodedValue> {
        do {
            return MultiResult(values: try await values(of: keys, namespace: namespace))
        } catch {
            return MultiResult(failures: Dictionary(keys.map { ($0, error) }) { first, _ in first })
        }
    }
}
