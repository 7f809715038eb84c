/// The sum of `-m auto`: the limit of the cgroup or the memory of the machine, less the memory beside the items. The
/// same sum is in docs/operations.md.
struct AutomaticMemory: Equatable, Sendable {
    /// Memory beside the items.
    struct Part: Equatable, Sendable {
        var megabytes: Int
        /// The use of it, for the log.
        var text: String

        init(bytes: Int, _ text: String) {
            megabytes = (bytes + (1 << 20) - 1) >> 20
            self.text = text
        }
    }

    let limit: MemoryLimit
    let parts: [Part]
    /// `-m`; not positive if the limit is too low.
    let megabytes: Int
    /// The most that unread answers may hold, and as much again for requests that clients have sent in part.
    let clientBytesMax: Int

    /// Without `-m auto`, and with it where there is enough memory.
    static let clientBytesUsual = 64 << 20
    /// The program's own memory, beside `tablesPercent` of `-m`.
    static let programBytes = 8 << 20
    static let tablesPercent = 2
    /// The largest spare buffer of `SpareBody`.
    private static let spareBytes = 8 << 20
    /// Buffers of sockets are the kernel's memory, and a cgroup counts them.
    private static let socketBytes = 100 << 20
    private static let clientBytes = 512
    private static let encryptedClientBytes = 20 << 10
    /// The table of `stats detail`.
    private static let prefixesBytes = 20 << 20
    private static let storeBytesMin = 8 << 20

    init(_ limit: MemoryLimit, _ settings: Settings) {
        self.limit = limit
        let eighth = limit.bytes / 8
        let largest =
            settings.orderedCaches.map {
                $0.isMemcachedShaped ? settings.maxItemSizeBytes : $0.valueBytesMax
            }.max() ?? 0
        clientBytesMax = max(min(Self.clientBytesUsual, eighth), 2 * largest)
        let perWorker = settings.threadCount * largest
        let perClient = Self.clientBytes + (settings.tlsEnabled ? Self.encryptedClientBytes : 0)
        let caches = settings.orderedCaches.filter { !$0.isMemcachedShaped }
        var parts = [
            limit.isOfCgroup
                ? Part(bytes: min(Self.socketBytes, eighth), "the kernel's buffers of sockets")
                : Part(bytes: eighth, "the system and other programs"),
            Part(bytes: clientBytesMax + perWorker, "unread answers"),
            Part(bytes: clientBytesMax + perWorker, "requests that are sent in part"),
            Part(bytes: min(Self.spareBytes, limit.bytes / 32), "a spare buffer"),
            Part(bytes: settings.connectionLimit * perClient, "\(settings.connectionLimit) clients"),
        ]
        if settings.detailEnabled { parts.append(Part(bytes: Self.prefixesBytes, "stats detail")) }
        for cache in caches {
            // The longest keys are counted only if `keysize` is given: most keys are far shorter.
            let keyBytes = StoreSize.keyBytes(of: cache, isInFile: true)
            let arena = StoreSize.arena(cache, keyBytes: keyBytes, sessions: settings.threadCount).bytes
            parts.append(Part(bytes: arena + arena / 100 * Self.tablesPercent, "cache \(cache.name)"))
        }
        parts.append(Part(bytes: Self.programBytes, "the program"))
        self.parts = parts
        let rest = (limit.bytes >> 20) - parts.reduce(0) { $0 + $1.megabytes }
        megabytes = min(max(0, rest) * 100 / (100 + Self.tablesPercent), Settings.memoryLimitBytesMax >> 20)
    }

    /// The sum, for the log.
    var text: String {
        let less = parts.map { "\($0.megabytes) for \($0.text)" }.joined(separator: ", ")
        return "-m auto is \(megabytes) MB: \(limit.bytes >> 20) MB of \(limit.path), less \(less), and "
            + "\(Self.tablesPercent) % for tables"
    }

    /// Whether items have enough memory. The largest item may be half of `-m`.
    func allows(_ settings: Settings) -> Bool {
        megabytes >= max(Self.storeBytesMin, 2 * settings.maxItemSizeBytes) >> 20
    }
}

/// `-m auto`, and the warning about a number that is too high for the cgroup.
func applyMemory(_ limits: MemoryLimits, to draft: inout Draft) throws(Ending) {
    guard draft.memoryIsAutomatic else {
        guard let limit = limits.ofCgroups else { return }
        let asked = draft.settings.memoryLimitBytes
        let needed = asked + asked / 100 * AutomaticMemory.tablesPercent + AutomaticMemory.programBytes
        guard needed > limit.bytes else { return }
        return draft.warn(
            "-m \(asked >> 20) needs \(needed >> 20) MB, and the limit is \(limit.bytes >> 20) MB (\(limit.path)): the "
                + "kernel may end the server. -m auto takes a number that fits.")
    }
    guard let limit = limits.lowest else {
        throw .usage("-m auto: neither /proc/meminfo nor a cgroup has the amount of memory; give -m a number.")
    }
    let sum = AutomaticMemory(limit, draft.settings)
    guard sum.allows(draft.settings) else {
        throw .usage(
            "\(sum.text). That is too little; fewer threads (-t) or a smaller -I need less, or give -m a number.")
    }
    draft.settings.memoryLimitBytes = sum.megabytes << 20
    draft.settings.automaticMemory = sum
}
