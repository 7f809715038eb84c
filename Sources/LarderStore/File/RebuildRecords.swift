import CLarderArena

extension Rebuild {
    /// The role of a slab. A wrong bit of its record is mended if the items show it. The record of a run's head is
    /// mended later, and only if the run is not there.
    mutating func soundRole(of slab: Int) -> ArenaScan.Role {
        let role = scan.role(of: slab)
        switch role {
        case .items: return scan.beginsWithItem(slab) ? role : mendedRole(of: slab)
        case .run: return role
        case .index, .nothing: return mendedRole(of: slab)
        }
    }

    /// The role of a slab by its items, if they show that its record is wrong.
    mutating func mendedRole(of slab: Int) -> ArenaScan.Role {
        let record = state.slabs.record(slab)
        let before = state.slabs[slab]
        let bytes = scan.firstItemBytes(of: slab)
        guard bytes > 0 else { return scan.role(of: slab) }
        if scan.needsMending(slab), mayRead(bytes, times: ArenaScan.recordBits),
            let mended = scan.mendedRecord(of: slab)
        {
            write(mended, to: record)
        }
        let role = scan.role(of: slab)
        guard scan.isOfUse(state.slabs[slab]), mayRead(bytes, times: 1), let proven = scan.provenRole(of: slab) else {
            write(before, to: record)
            return scan.role(of: slab)
        }
        if proven != role || before.sequence != record.pointee.sequence || before.cas_base != record.pointee.cas_base
            || before.expiry_base_ms != record.pointee.expiry_base_ms
            || before.expiry_end_ms != record.pointee.expiry_end_ms
        {
            mendedRecords += 1
        }
        if case .run(let count) = proven {
            record.pointee.run_slabs = UInt32(count)
            for tail in 1..<count { state.slabs.record(slab + tail).pointee.run_slabs = UInt32(tail) }
        }
        return proven
    }

    /// Whether bytes may be read to check a record. The limit exists because a forged file could demand endless reads.
    private mutating func mayRead(_ bytes: Int, times: Int) -> Bool {
        let (all, isTooMuch) = bytes.multipliedReportingOverflow(by: times)
        guard !isTooMuch, all <= repairBytesLeft else { return false }
        repairBytesLeft -= all
        return true
    }

    private func write(_ values: larder_slab, to record: Shared<larder_slab>) {
        record.pointee.sequence = values.sequence
        record.pointee.cas_base = values.cas_base
        record.pointee.expiry_base_ms = values.expiry_base_ms
        record.pointee.expiry_end_ms = values.expiry_end_ms
    }
}
