/// Storing over an item without changing when it ends.
///
/// The protocol has no command for that: what is stored takes the end that comes with it. So the end is asked for
/// first, and the item is stored only if nobody has changed it meanwhile; else it is tried again.
///
/// Servers say how long an item has left in whole seconds. To send that back would move the end by the part of a
/// second that is lost, each time anew: an item that is stored often enough would never end. As a point in time the end
/// stays what it is, but by the server's clock, which the client's need not agree with. A server tells its clock by how
/// long an item has left whose end is known.
extension MemcacheConnection {
    /// Nobody else's key; there is no item of this name on a server before the first end is kept.
    static let clockKey = "larder:clock"
    /// When the clock's item ends, in seconds since 1970: servers read no later time.
    private static let clockEnd = Int64(Int32.max)
    /// Whoever has lost so many times to others has to be told.
    private static let attemptsMax = 10_000

    func storeKeepingEnds(_ mode: StoreMode, _ items: [NewItem]) async throws -> [String] {
        let all = items.map { KeptWrite($0, mode) }
        return try await observed(mode.operation, items.count, instead: items.map(\.key)) {
            var failed: [String] = []
            for first in stride(from: 0, to: all.count, by: Self.pieceCommandsMax) {
                let piece = all[first..<min(all.count, first + Self.pieceCommandsMax)]
                try await self.storeAll(Array(piece), isReplace: mode == .replace, &failed)
            }
            return failed
        }
    }

    private func storeAll(_ items: [KeptWrite], isReplace: Bool, _ failed: inout [String]) async throws {
        var left = items
        for _ in 0..<Self.attemptsMax {
            if left.isEmpty { return }
            left = try await storeOnce(left, isReplace: isReplace, &failed)
        }
        throw MemcacheError(.serverError, "\(address): others keep changing the item")
    }

    /// - Returns: what has to be tried again.
    private func storeOnce(
        _ items: [KeptWrite], isReplace: Bool, _ failed: inout [String]
    ) async throws -> [KeptWrite] {
        var again: [KeptWrite] = []
        var writes: [KeptWrite] = []
        for (item, end) in zip(items, try await ends(of: items.map(\.item.key))) {
            switch end {
            case .changing: again.append(item)
            case .missing where isReplace: failed.append(item.item.key)
            case .missing: writes.append(KeptWrite(item.item, .add))
            case .known(let seconds, let cas):
                // 0: the server counts no writes, and cannot compare.
                writes.append(
                    KeptWrite(
                        item.item, isReplace ? .replace : .set, seconds: seconds, cas: cas == 0 ? nil : cas))
            }
        }
        for (write, outcome) in zip(writes, try await carryOut(writes)) {
            switch outcome {
            case .stored: break
            case .refused: failed.append(write.item.key)
            case .overtaken: again.append(write)
            }
        }
        return again
    }

    func replaceKeepingEnd(_ item: NewItem, cas: UInt64) async throws -> Bool {
        try await observed(.cas, 1, instead: false) {
            for _ in 0..<Self.attemptsMax {
                switch try await self.ends(of: [item.key]).first {
                case .changing: continue
                case .known(let seconds, cas):
                    let write = KeptWrite(item, .set, seconds: seconds, cas: cas)
                    return try await self.carryOut([write]).first == .stored
                default: return false
                }
            }
            return false
        }
    }

    private enum End {
        /// As it is sent: 0 for never.
        case known(seconds: Int64, cas: UInt64)
        case missing
        /// A second began while it was asked for.
        case changing
    }

    private enum Outcome {
        case stored
        /// Too large, or no memory for it.
        case refused
        /// Somebody else was faster.
        case overtaken
    }

    private func ends(of keys: [String]) async throws -> [End] {
        let answers = try await answers(commandCount: keys.count + 2) { encoder in
            try encoder.timeLeft(Self.clockKey, until: Self.clockEnd)
            for key in keys { try encoder.timeLeft(key) }
            try encoder.timeLeft(Self.clockKey, until: Self.clockEnd)
        }
        guard answers.count == keys.count + 2, let before = answers.first, let after = answers.last else {
            throw observer.unexpected(answers.first)
        }
        return try answers.dropFirst().dropLast().map { answer in
            switch answer.code {
            case .miss: return .missing
            case .done: break
            default: throw observer.unexpected(answer)
            }
            // A lease's stand-in goes, and its end with it.
            let isLease = answer.size == 0 && (answer.isTaken || answer.flags == StoredItem.leaseMarkerFlags)
            guard !isLease, case .limited(let left) = answer.left else {
                return .known(seconds: 0, cas: answer.cas)
            }
            guard before.left == after.left else { return .changing }
            return .known(seconds: Self.wireSeconds(left, clock: before.left), cas: answer.cas)
        }
    }

    private static func wireSeconds(_ left: Duration, clock: TimeLeft) -> Int64 {
        // What has less than a second left is still there.
        let left = max(1, left.components.seconds)
        // Without the server's clock, a full server has none to tell, or beyond what it can read, the span has to do.
        guard case .limited(let untilEnd) = clock else {
            return Expiration.after(.seconds(left)).wireSeconds(now: now)
        }
        let (end, isBeyond) = (clockEnd - untilEnd.components.seconds).addingReportingOverflow(left)
        guard !isBeyond, end <= clockEnd, end > Expiration.spanSecondsMax else {
            return Expiration.after(.seconds(left)).wireSeconds(now: now)
        }
        return end
    }

    private func carryOut(_ writes: [KeptWrite]) async throws -> [Outcome] {
        guard !writes.isEmpty else { return [] }
        let answers = try await answers(to: writes) { encoder, write in
            try encoder.store(write.mode, write.item, seconds: write.seconds, cas: write.cas)
        }
        return try answers.map { answer in
            switch answer.code {
            case .done: return .stored
            case .notStored, .exists, .notFound: return .overtaken
            case .serverError:
                observer.notStored(answer)
                return .refused
            default: throw observer.unexpected(answer)
            }
        }
    }
}

/// An item on its way, with the end that it keeps.
private struct KeptWrite: Sendable {
    let item: NewItem
    let mode: StoreMode
    let seconds: Int64
    let cas: UInt64?

    init(_ item: NewItem, _ mode: StoreMode, seconds: Int64 = 0, cas: UInt64? = nil) {
        self.item = item
        self.mode = mode
        self.seconds = seconds
        self.cas = cas
    }
}
