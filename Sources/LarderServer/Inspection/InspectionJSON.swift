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
        return JSONText.object([
            ("store", JSONText.string(inspection.path)),
            ("format_version", "\(inspection.formatVersion)"),
            ("state", JSONText.string(owner.0)),
            ("pid", owner.1.map { "\($0)" } ?? "null"),
            ("file_bytes", "\(inspection.fileBytes)"),
            ("arena_bytes", "\(inspection.arenaBytes)"),
            ("block_bytes", "\(inspection.blockBytes)"),
            ("slab_bytes", "\(inspection.slabBytes)"),
            ("slabs", JSONText.object(states)),
            (
                "items",
                JSONText.object([
                    ("live", "\(items.live)"), ("live_bytes", "\(items.liveBytes)"),
                    ("content_bytes", "\(items.contentBytes)"), ("expired", "\(items.expired)"),
                    ("dead", "\(items.dead)"), ("unfinished", "\(items.unfinished)"),
                ])
            ),
            ("time_buckets", JSONText.list(inspection.timeBuckets.map(Self.bucket))),
            (
                "index",
                JSONText.object([
                    ("buckets", "\(inspection.index.buckets)"), ("slots", "\(inspection.index.slots)"),
                    ("used_slots", "\(inspection.index.usedSlots)"),
                    ("chains_by_lines", "\(inspection.index.chainsByLines)"),
                ])
            ),
            ("now_ms", "\(inspection.nowMilliseconds)"),
            ("flush_at_ms", inspection.flushAtMilliseconds.map { "\($0)" } ?? "null"),
            ("notes", JSONText.list(inspection.notes.map(JSONText.string))),
            ("problems", JSONText.list(inspection.problems.map(JSONText.string))),
            ("problem_count", "\(inspection.problemCount)"),
        ]) + "\n"
    }

    private static func bucket(_ bucket: StoreInspection.TimeBucketSummary) -> String {
        JSONText.object([
            ("end_ms", bucket.endMilliseconds == Int64.max ? "null" : "\(bucket.endMilliseconds)"),
            ("slabs", "\(bucket.slabs)"), ("items", "\(bucket.items)"), ("bytes", "\(bucket.bytes)"),
        ])
    }
}
