import LarderTesting

@testable import LarderStore

/// Inspects a file that its store has closed. A process that another test starts shares the lock of the file until it
/// has begun its program, so the inspection is repeated until no process has the lock.
func inspectClosedFile(_ path: String) throws -> StoreInspection {
    let deadline = Deadline(milliseconds: 30_000)
    while true {
        let inspection = try StoreInspection(path: path)
        if inspection.owner == .nobody || deadline.hasPassed { return inspection }
    }
}
