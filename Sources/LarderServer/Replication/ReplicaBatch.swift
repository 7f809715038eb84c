import LarderReplication
import LarderWire

/// Changes of clients that are decided and appended to the log together.
///
/// Each change is a record of its own, with the condition that its key is still as it was when the change was decided.
/// All servers apply the records in the same order, so they agree on which conditions hold. A change whose condition
/// does not hold is decided again. Later changes of a batch see the earlier ones.
struct ReplicaBatch {
    /// A key as the records of this batch leave it.
    private struct Pending {
        var item: ReplicaItem?
        /// The place of the record that does it.
        var record: Int
    }

    private struct Member {
        var write: ReplicaWrite
        var outcome: ReplicaWrite.Outcome
        /// Its record, or the record that its answer depends on; nil: neither.
        var record: Int?
        var isOwnRecord = false
    }

    private var members: [Member] = []
    private var records: [UpdateRecord] = []
    private var pending: [[UInt8]: Pending] = [:]
    /// The last record that removes all keys.
    private var clearing: Int?

    var recordCount: Int { records.count }

    /// Decides changes against the items of a replica that has all records of its log.
    init(_ writes: [ReplicaWrite], _ replica: StoreReplica) {
        for write in writes { add(write, replica) }
    }

    private mutating func add(_ write: ReplicaWrite, _ replica: StoreReplica) {
        let before = pending[write.key] ?? clearing.map { Pending(item: nil, record: $0) }
        let item = before.map(\.item) ?? replica.item(write.key)
        // Clients cannot know the cas of an item that is not applied yet.
        let decision = ReplicaDecision.of(write, item, cas: before == nil ? item?.version : nil)
        var member = Member(write: write, outcome: decision.outcome, record: before?.record)
        if let change = decision.change {
            let update = update(write, change, item, before)
            if let record = try? UpdateRecord([update]) {
                note(update, change, write)
                member.record = records.count
                member.isOwnRecord = true
                records.append(record)
            } else {
                member.outcome = .reply(.tooLarge)
            }
        }
        members.append(member)
    }

    private func update(
        _ write: ReplicaWrite, _ change: ReplicaDecision.Change, _ item: ReplicaItem?, _ before: Pending?
    ) -> UpdateChange {
        if case .flushAll = write.request.verb { return .clear }
        if change.isUnconditional {
            guard let value = change.value else { return .delete(key: write.key) }
            return .set(key: write.key, value: value, flags: change.flags)
        }
        let condition: UpdateCondition
        if let item {
            condition =
                before.map { .isRecordBefore(distance: records.count - $0.record) } ?? .isVersion(item.version)
        } else {
            condition = .isMissing
        }
        return .conditional(key: write.key, value: change.value, flags: change.flags, condition)
    }

    private mutating func note(_ update: UpdateChange, _ change: ReplicaDecision.Change, _ write: ReplicaWrite) {
        if case .clear = update {
            pending = [:]
            clearing = records.count
            return
        }
        let item = change.value.map { ReplicaItem(value: $0, flags: change.flags, version: 0) }
        pending[write.key] = Pending(item: item, record: records.count)
    }

    // MARK: Carrying out

    /// Appends the records, applies them, and has the clients answered.
    /// - Returns: the changes to be decided again.
    func carryOut(_ replica: StoreReplica, _ log: any UpdateLog) throws(ReplicationError) -> [ReplicaWrite] {
        guard !records.isEmpty else { return answer(changed: [], firstID: 0) }
        let lastID: UInt64
        do throws(ReplicationError) {
            lastID = try log.append(records)
        } catch {
            answerAll(Self.reply(to: error))
            throw error
        }
        let firstID = lastID &- UInt64(records.count) &+ 1
        var changed: [Bool] = []
        do throws(ReplicationError) {
            try apply(replica, log, before: firstID)
            for (place, record) in records.enumerated() {
                changed.append(try replica.apply(UpdateEntry(id: firstID &+ UInt64(place), record: record)))
            }
        } catch {
            answerAll(.writeNotApplied)
            throw error
        }
        // Else the conditions were judged by items that another program may have changed.
        guard replica.isSound else {
            answerAll(.writeNotApplied)
            return []
        }
        return answer(changed: changed, firstID: firstID)
    }

    /// Applies the records of other servers that came before those of this batch.
    private func apply(
        _ replica: StoreReplica, _ log: any UpdateLog, before firstID: UInt64
    ) throws(ReplicationError) {
        while replica.applied.id &+ 1 < firstID {
            let limit = Int(clamping: firstID &- 1 &- replica.applied.id)
            let entries = try log.read(after: replica.applied.id, limit: min(limit, 512))
            guard entries.first?.id == replica.applied.id &+ 1 else {
                throw .logRefused(path: "log", reason: "it was rewritten while a record was written")
            }
            for entry in entries where entry.id < firstID { _ = try replica.apply(entry) }
        }
    }

    private func answer(changed: [Bool], firstID: UInt64) -> [ReplicaWrite] {
        var again: [ReplicaWrite] = []
        for member in members {
            guard let record = member.record else {
                member.write.finish(member.outcome)
                continue
            }
            guard changed[record] else {
                again.append(member.write)
                continue
            }
            member.write.finish(
                member.isOwnRecord ? member.outcome.withCas(firstID &+ UInt64(record)) : member.outcome)
        }
        return again
    }

    private func answerAll(_ reply: Reply) {
        for member in members { member.write.finish(.reply(reply)) }
    }

    private static func reply(to error: ReplicationError) -> Reply {
        switch error {
        case .outcomeUnknown: .writeOutcomeUnknown
        case .updateTooLarge: .tooLarge
        default: .logUnavailable
        }
    }
}
