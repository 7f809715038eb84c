/// What was found when a store's file was opened.
public struct RecoveryReport: Sendable {
    /// Items that are in the store again.
    public package(set) var items = 0
    /// Items, or stretches where items may have been, that were half written or damaged.
    public package(set) var droppedItems = 0
    /// Items that were left out because the capacity is smaller now.
    public package(set) var leftOutItems = 0
    /// Items for which the file was refused: see `StoreLimits.dropsItemsBeyond`. Such a store never gets ready.
    package var refusedItems = 0
    /// Items that expired while no process had the file open.
    public package(set) var expiredItems = 0
    /// How long it took, in milliseconds.
    public package(set) var milliseconds = 0
    /// Whether the whole file was read.
    public internal(set) var isComplete = false
    /// Lines for a log: what was done with the file beside opening it.
    public package(set) var notices: [String] = []
}

/// What is to be told of a store's file.
package struct StoreFileStatistics: Sendable {
    package var path: String
    /// Whether what it held has been found.
    package var isReady: Bool
    /// How much of it has been gone through.
    package var recoveredPercent: Int
    package var recovery: RecoveryReport
    /// Pages that could not be read: the file was truncated, or its disk fails. Of all stores of the process.
    package var missingPages: Int
}
