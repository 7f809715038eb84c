import LarderStore

/// An inspection as people read it.
struct InspectionText {
    private let inspection: StoreInspection

    init(_ inspection: StoreInspection) { self.inspection = inspection }

    var text: String {
        (geometry + [""] + contents + [""] + map + [""] + buckets + [""] + index + [""] + verdict).joined(
            separator: "\n")
            + "\n"
    }

    private func line(_ name: String, _ value: String) -> String {
        name + String(repeating: " ", count: max(1, 14 - name.count)) + value
    }

    private var geometry: [String] {
        let owner =
            switch inspection.owner {
            case .nobody: "closed in order"
            case .process(let pid): "process \(pid) has it open; what it changes meanwhile is told below"
            case .killedProcess(let pid):
                "process \(pid) did not close it; its next start makes the index anew"
            }
        return [
            line("store", inspection.path),
            line("format", "version \(inspection.formatVersion)"),
            line("owner", owner),
            line("size", "\(Self.size(inspection.fileBytes)), the arena \(Self.size(inspection.arenaBytes))"),
            line(
                "slabs",
                "\(inspection.slabCount) of \(Self.size(inspection.slabBytes)), in blocks of \(inspection.blockBytes) bytes"
            ),
        ]
    }

    private var contents: [String] {
        let items = inspection.items
        let states = StoreInspection.SlabState.allCases.compactMap { state in
            let count = inspection.slabs.count { $0.state == state }
            return count == 0 ? nil : "\(count) \(Self.name(state))"
        }
        var lines = [
            line(
                "items",
                "\(items.live), and \(items.expired) expired, \(items.dead) dead, \(items.unfinished) unfinished"
            ),
            line(
                "bytes",
                "\(Self.size(items.liveBytes)) in blocks of items, \(Self.size(items.contentBytes)) of that keys and values"
            ),
            line("slabs are", states.joined(separator: ", ")),
        ]
        if let time = inspection.flushAtMilliseconds {
            lines.append(line("flush", "due \(Self.distance(time - inspection.nowMilliseconds))"))
        }
        return lines
    }

    // MARK: Map

    private static let columns = 64
    private static let charactersMax = 64 * 48

    private var map: [String] {
        let share = max(1, (inspection.slabs.count + Self.charactersMax - 1) / Self.charactersMax)
        let characters = stride(from: 0, to: inspection.slabs.count, by: share).map { start in
            Self.character(inspection.slabs[start..<min(start + share, inspection.slabs.count)])
        }
        var lines = ["map: \(share == 1 ? "a slab" : "\(share) slabs") a character"]
        for start in stride(from: 0, to: characters.count, by: Self.columns) {
            lines.append("  " + String(characters[start..<min(start + Self.columns, characters.count)]))
        }
        lines.append("  . free   0-9 tenths of it live   o open   R large item   r its further slabs")
        lines.append("  I index  M metadata  ~ emptied, not yet free   + being taken   ? unknown")
        return lines
    }

    /// Of several slabs, what most of them are.
    static func character(_ slabs: ArraySlice<StoreInspection.SlabSummary>) -> Character {
        var counts = [Int](repeating: 0, count: StoreInspection.SlabState.allCases.count)
        var sealedHundredths = 0
        for slab in slabs {
            counts[slab.state.rawValue] += 1
            if slab.state == .sealed { sealedHundredths += slab.liveHundredths }
        }
        let most = StoreInspection.SlabState.allCases.max { counts[$0.rawValue] < counts[$1.rawValue] }
        switch most ?? .unknown {
        case .free: return "."
        case .open: return "o"
        case .sealed:
            let tenths = sealedHundredths / (10 * counts[StoreInspection.SlabState.sealed.rawValue])
            return Character(String(min(9, tenths)))
        case .runHead: return "R"
        case .runTail: return "r"
        case .limbo: return "~"
        case .index: return "I"
        case .metadata: return "M"
        case .claimed: return "+"
        case .unknown: return "?"
        }
    }

    private static func name(_ state: StoreInspection.SlabState) -> String {
        switch state {
        case .runHead: "of large items"
        case .runTail: "more of them"
        case .limbo: "emptied, not yet free"
        case .index: "the index's"
        case .metadata: "of metadata"
        case .claimed: "being taken"
        case .free, .open, .sealed, .unknown: "\(state)"
        }
    }

    // MARK: Time buckets and index

    private var buckets: [String] {
        guard !inspection.timeBuckets.isEmpty else { return ["time buckets: none"] }
        return ["time buckets, by when all of them has expired"]
            + inspection.timeBuckets.map { bucket in
                let due =
                    bucket.endMilliseconds == Int64.max
                    ? "never" : Self.distance(bucket.endMilliseconds - inspection.nowMilliseconds)
                let padding = String(repeating: " ", count: max(1, 14 - due.count))
                return
                    "  \(due)\(padding)\(bucket.slabs) slabs, \(bucket.items) items, \(Self.size(bucket.bytes))"
            }
    }

    private var index: [String] {
        let index = inspection.index
        let load = index.slots == 0 ? 0 : index.usedSlots * 100 / index.slots
        let chains = index.chainsByLines.enumerated().map { "\($0.element) of \($0.offset + 1)" }
        return [
            line(
                "index",
                "\(index.buckets) buckets, \(index.usedSlots) of \(index.slots) slots in use (\(load) %)"),
            line("chains", chains.isEmpty ? "none" : "lines each: " + chains.joined(separator: ", ")),
        ]
    }

    private var verdict: [String] {
        let notes = inspection.notes.map { "note: \($0)" }
        guard inspection.problemCount > 0 else { return notes + ["ok"] }
        var lines = notes + inspection.problems.map { "wrong: \($0)" }
        let more = inspection.problemCount - inspection.problems.count
        if more > 0 { lines.append("wrong: and \(more) more") }
        return lines
    }

    static func size(_ bytes: Int) -> String {
        for (unit, shift) in [("GB", 30), ("MB", 20), ("KB", 10)] where bytes >= 1 << shift {
            let tenths = (bytes * 10) >> shift
            return tenths % 10 == 0 || tenths >= 1000
                ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
        }
        return "\(bytes) bytes"
    }

    /// A time from now, or before it.
    static func distance(_ milliseconds: Int64) -> String {
        let seconds = milliseconds.magnitude / 1000
        let text =
            switch seconds {
            case ..<120: "\(seconds) s"
            case ..<7200: "\(seconds / 60) min"
            case ..<172_800: "\(seconds / 3600) h"
            default: "\(seconds / 86_400) days"
            }
        return milliseconds < 0 ? "\(text) ago" : "in \(text)"
    }
}
