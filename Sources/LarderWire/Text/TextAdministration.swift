/// Reads the commands about the server's machinery.
///
/// Larder has no pages of slab classes and no segmented LRU lists. Commands about them are answered as by a
/// memcached in which the feature is on and has nothing to do. A setting of such a feature is checked
/// and then taken with `OK`, as memcached takes it, since operators' scripts send these at start and
/// look for `OK`. Flash storage (`extstore`) is answered as by a memcached built without it.
package enum TextAdministration {
    /// The command in the line of an `.administration` request.
    ///
    /// - Parameter line: `length` bytes, the line end not counted.
    package static func command(
        in line: UnsafePointer<UInt8>, length: Int
    ) -> Administration {
        // SAFETY: the words are looked for in line[0..<length] only, which the caller holds.
        var words = TextTokens(from: line, to: line + length)
        let command = words.next()
        if command.equals("slabs") { return slabs(words) }
        if command.equals("lru_crawler") { return crawler(words) }
        if command.equals("lru") { return lru(words) }
        if command.equals("cache_memlimit") { return memoryLimit(words) }
        if command.equals("debugtime") { return clock(words) }
        if command.equals("watch") { return .watch(streams(words)) }
        if command.equals("refresh_certs") { return .refreshCertificates }
        // `extstore`: what a memcached built without it says.
        return .answered(.unknownCommand)
    }

    // MARK: slabs

    /// `slabs reassign <source> <destination>`, `slabs automove <level>` and its settings.
    private static func slabs(_ arguments: TextTokens) -> Administration {
        var words = arguments
        let subcommand = words.next()
        let first = words.next()
        if subcommand.equals("reassign") {
            let second = words.next()
            guard !second.isAbsent, words.next().isAbsent else { return .answered(.unknownCommand) }
            return .reassignSlab(reassignment(from: first, to: second))
        }
        guard subcommand.equals("automove"), !first.isAbsent else { return .answered(.unknownCommand) }
        if first.equals("ratio") || first.equals("freeratio") {
            guard let ratio = words.nextDecimal() else { return .answered(.unknownCommand) }
            return .setAutomove(first.equals("ratio") ? .ratio(ratio) : .freeRatio(ratio))
        }
        if first.equals("window") {
            guard let window = words.nextExactUInt32() else { return .answered(.badCommandLine) }
            guard (3...1800).contains(window) else { return .answered(.automoveWindowOutOfRange) }
            return .setAutomove(.window(window))
        }
        guard let level = DecimalText.exactUInt32(first.start, first.length) else {
            return .answered(.badCommandLine)
        }
        return level <= 2 ? .setAutomove(.level(level)) : .answered(.unknownCommand)
    }

    /// The highest number of a class with memcached's default sizes.
    private static let reassignableClassMax: Int32 = 39

    /// No class has a page to spare, since there are no pages of classes.
    private static func reassignment(from source: TextTokens.Token, to destination: TextTokens.Token) -> Reply {
        guard let source = DecimalText.exactInt32(source.start, source.length),
            let destination = DecimalText.exactInt32(destination.start, destination.length)
        else { return .badCommandLine }
        if source == destination { return .sameSlabClass }
        let classes = 0...reassignableClassMax
        return classes.contains(source) && classes.contains(destination) ? .noSparePages : .badReassignClass
    }

    // MARK: lru

    /// `lru tune <hot %> <warm %> <hot factor> <warm factor>`, `lru mode <flat|segmented>`,
    /// `lru temp_ttl <seconds>`.
    private static func lru(_ arguments: TextTokens) -> Administration {
        var words = arguments
        let subcommand = words.next()
        if subcommand.equals("mode") {
            let mode = words.next()
            return .answered(mode.equals("flat") || mode.equals("segmented") ? .ok : .unknownCommand)
        }
        if subcommand.equals("temp_ttl") {
            let seconds = words.next()
            return .answered(
                DecimalText.exactInt32(seconds.start, seconds.length) == nil ? .unknownCommand : .ok)
        }
        guard subcommand.equals("tune"), let hot = words.nextExactUInt32(),
            let warm = words.nextExactUInt32(), let hotFactor = words.nextDecimal(),
            let warmFactor = words.nextDecimal()
        else { return .answered(.unknownCommand) }
        guard UInt64(hot) + UInt64(warm) <= 80 else { return .answered(.lruSharesTooLarge) }
        guard hotFactor > 0, warmFactor > 0 else { return .answered(.lruFactorsNotPositive) }
        return .tuneEviction(hot: hot, warm: warm, hotFactor: hotFactor, warmFactor: warmFactor)
    }

    // MARK: lru_crawler

    /// `lru_crawler enable|disable`, its settings, and its errands.
    private static func crawler(_ arguments: TextTokens) -> Administration {
        var words = arguments
        let subcommand = words.next()
        if subcommand.equals("scan") { return scan(words) }
        let argument = words.next()
        guard words.next().isAbsent else { return .answered(.unknownCommand) }
        if argument.isAbsent {
            if subcommand.equals("enable") { return .setCrawler(isEnabled: true) }
            return subcommand.equals("disable") ? .setCrawler(isEnabled: false) : .answered(.unknownCommand)
        }
        if subcommand.equals("crawl") { return .crawl(classes(argument)) }
        if subcommand.equals("metadump") { return .dumpKeys(.metadump, classes(argument)) }
        if subcommand.equals("mgdump") { return .dumpKeys(.mgdump, classes(argument)) }
        guard subcommand.equals("tocrawl") || subcommand.equals("sleep") else {
            return .answered(.unknownCommand)
        }
        guard let number = DecimalText.exactUInt32(argument.start, argument.length) else {
            return .answered(.badCommandLine)
        }
        if subcommand.equals("tocrawl") { return .setCrawlerLimit(items: number) }
        let secondInMicroseconds = 1_000_000
        return number > secondInMicroseconds
            ? .answered(.crawlerSleepTooLong) : .setCrawlerSleep(microseconds: number)
    }

    /// `lru_crawler scan <cursor> <keys> [<prefix>]`, with the prefix in percent-encoding.
    private static func scan(_ arguments: TextTokens) -> Administration {
        var words = arguments
        let (cursor, keysMax, prefix) = (words.next(), words.next(), words.next())
        guard !keysMax.isAbsent, words.next().isAbsent else { return .answered(.unknownCommand) }
        guard let cursor = DecimalText.unsigned64(cursor.start, cursor.length),
            let keysMax = DecimalText.exactUInt32(keysMax.start, keysMax.length), keysMax > 0
        else { return .answered(.badCommandLine) }
        // SAFETY: the word lies in the line, which the caller holds.
        let text = UnsafeBufferPointer(start: prefix.start, count: prefix.length)
        guard let bytes = KeyText.percentDecoded(text) else { return .answered(.badCommandLine) }
        return .scanKeys(cursor: cursor, keysMax: keysMax, prefix: bytes)
    }

    /// Class numbers that memcached has.
    private static let slabClasses: ClosedRange<UInt32> = 1...63

    /// `all`, `hash`, or class numbers between commas.
    private static func classes(_ token: TextTokens.Token) -> ClassList {
        if token.equals("all") || token.equals("hash") { return .everything }
        var list = ClassList.nothing
        let text = UnsafeBufferPointer(start: token.start, count: token.length)
        for number in text.split(separator: UInt8(ascii: ",")) {
            guard let start = number.base.baseAddress,
                let slabClass = DecimalText.unsigned64(start + number.startIndex, number.count),
                // Of which memcached keeps 32 bits.
                slabClasses.contains(UInt32(truncatingIfNeeded: slabClass))
            else { return .invalid }
            if UInt32(truncatingIfNeeded: slabClass) == 1 { list = .everything }
        }
        return list
    }

    // MARK: cache_memlimit, watch

    private static func memoryLimit(_ arguments: TextTokens) -> Administration {
        var words = arguments
        guard let limit = words.nextExactUInt32() else { return .answered(.unknownCommand) }
        if limit < 8 { return .answered(.memoryLimitTooSmall) }
        if limit > 1_000_000_000 { return .answered(.memoryLimitNotMegabytes) }
        return .setMemoryLimit(megabytes: limit)
    }

    /// `debugtime <seconds>|p|r`
    private static func clock(_ arguments: TextTokens) -> Administration {
        var words = arguments
        let move = words.next()
        if move.equals("p") { return .moveClock(.pause) }
        if move.equals("r") { return .moveClock(.resume) }
        guard let seconds = DecimalText.exactInt32(move.start, move.length) else { return .answered(.unknownCommand) }
        return .moveClock(.by(seconds: Int64(seconds)))
    }

    /// The streams named, or what is watched when none is; nil when there is no such stream.
    private static func streams(_ arguments: TextTokens) -> WatchedStreams? {
        var words = arguments
        guard words.skipSpaces() else { return .fetchers }
        var streams: WatchedStreams = []
        while words.skipSpaces() {
            guard let stream = stream(words.next()) else { return nil }
            streams.insert(stream)
        }
        return streams
    }

    private static func stream(_ name: TextTokens.Token) -> WatchedStreams? {
        if name.equals("fetchers") { return .fetchers }
        if name.equals("mutations") { return .mutations }
        if name.equals("evictions") { return .evictions }
        if name.equals("connevents") { return .connections }
        if name.equals("deletions") { return .deletions }
        let machinery: [StaticString] = ["sysevents", "rawcmds", "proxyreqs", "proxyevents", "proxyuser"]
        return machinery.contains { name.equals($0) } ? .machinery : nil
    }
}

extension TextTokens {
    /// The next word as a number of 32 bits and nothing else.
    fileprivate mutating func nextExactUInt32() -> UInt32? {
        let token = next()
        return DecimalText.exactUInt32(token.start, token.length)
    }

    /// The next word as a decimal fraction.
    fileprivate mutating func nextDecimal() -> Double? {
        let token = next()
        guard !token.isAbsent else { return nil }
        let text = String(decoding: UnsafeBufferPointer(start: token.start, count: token.length), as: UTF8.self)
        guard let value = Double(text), value.isFinite else { return nil }
        return value
    }
}
