import LarderClient

/// Values with a type: `put-TYPE KEY VALUE` and `take-TYPE KEY`, types being text, int, bool, bytes (numbers with
/// commas between) and row, of which the value is the name.
struct TypedValues {
    private struct Row: Codable { var id = 7, name: String }

    let cache: any Cache

    /// nil for lines that are not its own.
    func answer(to words: [String]) async throws -> String? {
        guard words.count > 1, let dash = words[0].firstIndex(of: "-") else { return nil }
        let type = String(words[0][words[0].index(after: dash)...])
        do {
            switch (words[0][..<dash], words.count) {
            case ("put", 3): return try await put(type, words[1], words[2]) ? "stored" : "failed"
            case ("take", 2): return try await take(type, words[1]) ?? "miss"
            default: return nil
            }
        } catch let error as CacheError where error.code == .cannotDecode {
            return "refused"
        }
    }

    private func put(_ type: String, _ key: String, _ value: String) async throws -> Bool {
        switch type {
        case "text": try await cache.set(key, value)
        case "int": try await cache.set(key, Int(value) ?? 0)
        case "bool": try await cache.set(key, value == "true")
        case "bytes": try await cache.set(key, value.split(separator: ",").compactMap { UInt8($0) })
        case "row": try await cache.set(key, Row(name: value))
        default: false
        }
    }

    private func take(_ type: String, _ key: String) async throws -> String? {
        switch type {
        case "text": try await cache.get(key, as: String.self)
        case "int": try await cache.get(key, as: Int.self).map { String($0) }
        case "bool": try await cache.get(key, as: Bool.self).map { String($0) }
        case "bytes":
            try await cache.get(key, as: [UInt8].self).map { $0.map { String($0) }.joined(separator: ",") }
        case "row": try await cache.get(key, as: Row.self).map { "\($0.id) \($0.name)" }
        default: nil
        }
    }
}
