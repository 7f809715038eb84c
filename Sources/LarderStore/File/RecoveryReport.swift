/// What was found when a store's file was opened.
public struct RecoveryReport: Sendable {
    /// Items that are there again.
    public var items = 0
    /// Items, or stretches where items may have been, that were half written or damaged.
    public var droppedItems = 0
    /// Items left out because the new arena is smaller, or the limits are narrower.
    public var leftOutItems = 0
    /// Items for which the file was refused: see `StoreLimits.dropsItemsBeyond`. Such a store never gets ready.
    public var refusedItems = 0
    /// Items that expired while nobody served them.
    public var expiredItems = 0
    public var milliseconds = 0
    /// Whether it was gone through to the end.
    public internal(set) var isComplete = false
    /// Lines for the log: what was done with the file beyond opening it.
    public var notices: [String] = []
}

/// What is to be told of a store's file.
public struct StoreFileStatistics: Sendable {
    public var path: String
    /// Whether what it held has been found.
    public var isReady: Bool
    /// How much of it has been gone through.
    public var recoveredPercent: Int
    public var recovery: RecoveryReport
    /// Pages that could not be read: the file was truncated, or its disk fails. Of all stores of the process.
    public var missingPages: Int
}
