import LarderStore

/// An inspection as programs read it: one object on one line.
struct InspectionJSON {
    private let inspection: StoreInspection

    init(_ inspection: StoreInspection) { self.inspection = inspection }

    var text: String {
        let owner: (String, UInt64?) =
            switch inspection.owner {
            case .nobody: ("closed", nil)
            case .process(let pid): ("open", pid)
            case .killedProcess(let pid): ("killed", pid)
            }
        let items = inspection.items
        let states = StoreInspection.SlabState.allCases.map { state in
            ("\(state)", "\(inspection.slabs.count { $0.state == state })")
        }
        return Self.object([
            ("store", Self.string(inspection.path)),
            ("format_version", "\(inspection.formatVersion)"),
            ("state", Self.string(owner.0)),
            ("pid", owner.1.map { "\($0)" } ?? "null"),
            ("file_bytes", "\(inspection.fileBytes)"),
            ("arena_bytes", "\(inspection.arenaBytes)"),
            ("block_bytes", "\(inspection.blockBytes)"),
            ("slab_bytes", "\(inspection.slabBytes)"),
            ("slabs", Self.object(states)),
            (
                "items",
                Self.object([
                    ("live", "\(items.live)"), ("live_bytes", "\(items.liveBytes)"),
                    ("content_bytes", "\(items.contentBytes)"), ("expired", "\(items.expired)"),
                    ("dead", "\(items.dead)"), ("unfinished", "\(items.unfinished)"),
                ])
            ),
            ("time_buckets", "[" + inspection.timeBuckets.map(Self.bucket).joined(separator: ", ") + "]"),
            (
                "index",
                Self.object([
                    ("buckets", "\(inspection.index.buckets)"), ("slots", "\(inspection.index.slots)"),
                    ("used_slots", "\(inspection.index.usedSlots)"),
                    ("chains_by_lines", "\(inspection.index.chainsByLines)"),
                ])
            ),
            ("now_ms", "\(inspection.nowMilliseconds)"),
            ("flush_at_ms", inspection.flushAtMilliseconds.map { "\($0)" } ?? "null"),
            ("notes", Self.list(inspection.notes)),
            ("problems", Self.list(inspection.problems)),
            ("problem_count", "\(inspection.problemCount)"),
        ]) + "\n"
    }

    private static func bucket(_ bucket: StoreInspection.TimeBucketSummary) -> String {
        object([
            ("end_ms", bucket.endMilliseconds == Int64.max ? "null" : "\(bucket.endMilliseconds)"),
            ("slabs", "\(bucket.slabs)"), ("items", "\(bucket.items)"), ("bytes", "\(bucket.bytes)"),
        ])
    }

    private static func object(_ fields: [(String, String)]) -> String {
        "{" + fields.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }
    private static func list(_ texts: [String]) -> String {
        "[" + texts.map(string).joined(separator: ", ") + "]"
    }
    private static func string(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case "\u{0}"..<" ":
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
