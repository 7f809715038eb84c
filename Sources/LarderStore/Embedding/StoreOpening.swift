/// Where a store keeps its items.
public enum StoreLocation: Hashable, Sendable {
    /// In memory of the process. The items end with the process.
    case memory
    /// In the file at this path, which is made if it is missing. The items outlive the process, and `StoreReader` reads
    /// them in other processes. A path in `/dev/shm` keeps them in memory until the machine restarts.
    case file(String)
}

/// Settings of a store beside its location and its capacity. The initial values suit most programs.
public struct StoreOptions: Sendable {
    /// The largest item in bytes, with its key and a header of up to 40 bytes. A larger one is refused: `.tooLarge`.
    public var itemBytesMax = 1 << 20
    /// Whether a full store evicts the items that are used least. If false, it refuses new items: `.noMemory`.
    public var evicts = true
    /// Whether eviction weighs uses against sizes: more reads find their item, but fewer large items stay.
    public var isSizeAware = false
    /// The number of sessions that the program is going to use at once. It decides how much memory each may hold back
    /// for its own writes.
    public var sessionsExpected = 1
    /// Seconds between the times when the pages of a file are written to the disk, so that items survive a power
    /// failure; 0 leaves that to the system. A process that is killed loses nothing either way.
    public var fileSyncSeconds = 0
    /// Whether the system is asked for large pages.
    public var usesHugePages = false

    /// The initial values.
    public init() {}
}

extension Store {
    /// Opens a store: an empty one in memory, or one with the items of a file.
    ///
    /// A file of another size is carried over into a new file of the same name, and items that do not fit are left out.
    /// `recovery` tells what was found. A file that is no store is renamed, and a new one takes its place.
    /// - Parameters:
    ///   - location: where the items are kept.
    ///   - capacity: all that the store may take, in bytes, with its index and its tables. It is taken as it is used.
    ///   - options: other settings.
    /// - Throws: `StoreError` if the capacity is out of range, the system refuses the memory, or the file must not be
    ///   used.
    public static func open(
        _ location: StoreLocation, capacity: Int, options: StoreOptions = StoreOptions()
    ) throws(StoreError) -> Store {
        var configuration = StoreConfiguration(
            memoryBytes: capacity, itemBytesMax: options.itemBytesMax, evicts: options.evicts,
            isSizeAware: options.isSizeAware, sessionsExpected: options.sessionsExpected)
        if case .file(let path) = location { configuration.filePath = path }
        configuration.fileSyncSeconds = max(0, options.fileSyncSeconds)
        configuration.usesHugePages = options.usesHugePages
        let store = try Store(configuration)
        store.noteClock(store.clock)
        return store
    }

    /// Opens a session. A program opens one for each thread that uses the store.
    /// - Throws: `StoreError.tooManySessions` if 256 sessions are open.
    public func session() throws(StoreError) -> StoreSession {
        StoreSession(try makeSession(), clock)
    }
}
