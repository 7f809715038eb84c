/// A command about the server's machinery, in the words of no dialect.
package enum Administration: Sendable, Equatable {
    /// Settled by its form alone: it is wrong, or asks for what there is not.
    case answered(Reply)

    // MARK: Keys and expired items

    /// `lru_crawler enable`, `disable`
    case setCrawler(isEnabled: Bool)
    case setCrawlerSleep(microseconds: UInt32)
    /// Items that one crawl looks at; 0: all.
    case setCrawlerLimit(items: UInt32)
    /// `lru_crawler crawl`: give back what has expired.
    case crawl(ClassList)
    /// `lru_crawler metadump`, `mgdump`
    case dumpKeys(KeyDumpForm, ClassList)
    /// `lru_crawler scan`, Larder's own: at most so many keys that begin with a prefix, from a cursor on.
    case scanKeys(cursor: UInt64, keysMax: UInt32, prefix: [UInt8])

    /// `refresh_certs`
    case refreshCertificates

    // MARK: Memory

    case setMemoryLimit(megabytes: UInt32)
    /// `lru tune`: shares in percent, and factors.
    case tuneEviction(hot: UInt32, warm: UInt32, hotFactor: Double, warmFactor: Double)
    /// `slabs reassign`, and its answer where that is not switched off.
    case reassignSlab(Reply)
    /// `slabs automove`
    case setAutomove(Automove)

    /// `debugtime`, of builds for debugging only.
    case moveClock(ClockMove)

    /// `watch`; nil when one of the streams does not exist.
    case watch(WatchedStreams?)

    package enum ClockMove: Sendable, Equatable {
        case by(seconds: Int64)
        case pause
        case resume
    }

    package enum Automove: Sendable, Equatable {
        case level(UInt32)
        case ratio(Double)
        case freeRatio(Double)
        case window(UInt32)
    }
}

/// Which items a crawl or a dump is about.
package enum ClassList: UInt8, Sendable {
    /// `all`, `hash`, or a list with class 1 in it: all items are in that class.
    case everything
    /// Classes that never have an item here.
    case nothing
    /// A class that cannot be.
    case invalid
}

/// How a dump spells an item.
package enum KeyDumpForm: UInt8, Sendable {
    /// `key=... exp=... la=...`
    case metadump
    /// `mg key`: what fetches it again.
    case mgdump
    /// `ITEM key [1 b; 0 s]`
    case cachedump
}

/// Kinds of events that a `watch` is about.
package struct WatchedStreams: OptionSet, Sendable {
    package let rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// Lookups.
    package static let fetchers = WatchedStreams(rawValue: 1 << 0)
    /// Stores.
    package static let mutations = WatchedStreams(rawValue: 1 << 1)
    package static let evictions = WatchedStreams(rawValue: 1 << 2)
    /// Clients that come and go.
    package static let connections = WatchedStreams(rawValue: 1 << 3)
    package static let deletions = WatchedStreams(rawValue: 1 << 4)
    /// What memcached says of its crawler, its slab mover and its proxy: there is none here, so
    /// nothing ever comes.
    package static let machinery = WatchedStreams(rawValue: 1 << 5)
}
