/// Answers the commands about machinery that Larder does not have: slab classes whose pages
/// move, a crawler thread, segmented LRU lists, flash storage, watchers.
///
/// The answers are those of a memcached in which the feature is switched off. A setting of
/// such a feature is checked and then taken with `OK`, as memcached takes it, since
/// operators' scripts send these at start and look for `OK`.
package enum TextAdministration {
    /// The answer to the line of an `.administration` request.
    ///
    /// - Parameter line: `length` bytes, the line end not counted.
    package static func reply(to line: UnsafePointer<UInt8>, length: Int) -> Reply {
        // SAFETY: the words are looked for in line[0..<length] only, which the caller holds.
        var words = TextTokens(from: line, to: line + length)
        let command = words.next()
        if command.equals("slabs") { return slabs(words) }
        if command.equals("lru_crawler") { return crawler(words) }
        if command.equals("cache_memlimit") { return memoryLimit(words) }
        if command.equals("watch") { return .watchNotAllowed }
        // `lru`, `extstore`, `refresh_certs`: what a memcached built without them says.
        return .unknownCommand
    }

    /// `slabs reassign <source> <destination>`, `slabs automove <level>` and its settings.
    private static func slabs(_ arguments: TextTokens) -> Reply {
        var words = arguments
        let subcommand = words.next()
        let first = words.next()
        if subcommand.equals("reassign") {
            let hasTwoClasses = !words.next().isAbsent && words.next().isAbsent
            return hasTwoClasses ? .slabReassignDisabled : .unknownCommand
        }
        guard subcommand.equals("automove"), !first.isAbsent else { return .unknownCommand }
        if first.equals("ratio") || first.equals("freeratio") {
            return words.next().isAbsent ? .unknownCommand : .ok
        }
        if first.equals("window") {
            let seconds = words.next()
            guard let window = DecimalText.exactUInt32(seconds.start, seconds.length) else {
                return .badCommandLine
            }
            return (3...1800).contains(window) ? .ok : .automoveWindowOutOfRange
        }
        guard let level = DecimalText.exactUInt32(first.start, first.length) else { return .badCommandLine }
        return level <= 2 ? .ok : .unknownCommand
    }

    /// `lru_crawler enable|disable`, its settings, and its errands.
    private static func crawler(_ arguments: TextTokens) -> Reply {
        var words = arguments
        let subcommand = words.next()
        let argument = words.next()
        guard words.next().isAbsent else { return .unknownCommand }
        if argument.isAbsent {
            if subcommand.equals("enable") { return .crawlerNotStarted }
            return subcommand.equals("disable") ? .ok : .unknownCommand
        }
        if subcommand.equals("crawl") || subcommand.equals("metadump") || subcommand.equals("mgdump") {
            return .crawlerDisabled
        }
        guard subcommand.equals("tocrawl") || subcommand.equals("sleep") else { return .unknownCommand }
        guard let number = DecimalText.exactUInt32(argument.start, argument.length) else {
            return .badCommandLine
        }
        let secondInMicroseconds = 1_000_000
        return subcommand.equals("sleep") && number > secondInMicroseconds ? .crawlerSleepTooLong : .ok
    }

    /// `cache_memlimit <megabytes>`: the arena does not change its size.
    private static func memoryLimit(_ arguments: TextTokens) -> Reply {
        var words = arguments
        let megabytes = words.next()
        guard let limit = DecimalText.exactUInt32(megabytes.start, megabytes.length) else {
            return .unknownCommand
        }
        if limit < 8 { return .memoryLimitTooSmall }
        return limit > 1_000_000_000 ? .memoryLimitNotMegabytes : .memoryLimitNotAdjustable
    }
}
