import LarderWire

/// What `--cache` says of one cache, with uWSGI's defaults (uWSGI, `--cache2`).
package struct CacheSettings: Sendable, Equatable {
    /// One place of `listen=`.
    package enum Place: Sendable, Equatable, CustomStringConvertible {
        /// A TCP port; without a host, on the addresses of the main port.
        case tcp(host: String?, port: Int)
        case unix(path: String)

        /// As it is written on the command line.
        package var description: String {
            switch self {
            case .tcp(let host?, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            case .tcp(nil, let port): ":\(port)"
            case .unix(let path): "unix:\(path)"
            }
        }
    }

    /// One address of `nodes=` or `udp=`.
    package struct UDPAddress: Sendable, Equatable {
        /// nil: this machine only.
        package var host: String?
        /// 0: any free one.
        package var port: Int

        /// The text of the address in the options.
        var text: String {
            guard let host else { return ":\(port)" }
            return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }

    /// The cache that the main port serves.
    package static let defaultName = "default"

    package var name: String
    /// The most items, as given; nil for the memcached-shaped cache, which `-m` limits.
    package var items: Int?
    package var blockBytes = 64 << 10
    /// As given; nil: as many as items.
    package var givenBlocks: Int?
    /// Whether an item may take several blocks.
    package var isBitmap = false
    package var hashName = "djb33x"
    package var hashSize = 65_536
    /// `keysize=`, as given.
    package var givenKeyBytesMax: Int?
    package var storePath: String?
    package var storeSyncSeconds = 0
    /// `log=`: the durable log that changes go through, and that this cache's copies on other servers follow.
    package var logURL: String?
    package var deletesWrongStore = false
    /// `shrink=`: drops items of the store's file that exceed narrower limits.
    package var shrinks = false
    /// When full: drop what was least recently used.
    package var purgesLeastRecentlyUsed = false
    /// Accepted; every read looks at the expiry anyway.
    package var isLazy = false
    /// Do not log that the cache is full.
    package var ignoresFull = false
    /// When full: drop what has expired, at most every so many seconds; 0 never.
    package var sweepOnFullSeconds = 0
    /// When full: drop everything, unless the sweep dropped something.
    package var clearsOnFull = false
    /// Expired items keep their memory until they are read or pushed out.
    package var keepsExpired = false
    package var notesLastModified = false
    /// What `incr` starts from when there is no item; nil: it answers that there is none.
    package var mathInitial: UInt64?
    package var places: [Place] = []
    /// `nodes=`: servers to which the changes of this cache are sent.
    package var nodes: [UDPAddress] = []
    /// `udp=`: addresses that receive the changes of other servers.
    package var udpAddresses: [UDPAddress] = []
    /// `sync=`: servers whose items the cache begins with. The first one that answers is taken.
    package var copiedPlaces: [Place] = []
    /// Time buckets in use at once.
    package var buckets = 60
    package var bucketIntervalSeconds = 15
    /// The largest value, as given.
    package var givenValueBytesMax: Int?
    /// One item less, as in uWSGI.
    package var isStrict = false

    package init(name: String) { self.name = name }

    /// Whether it is memcached's kind of cache: limited by memory, not by items and blocks.
    package var isMemcachedShaped: Bool { items == nil }

    /// The items that it holds.
    package var itemsMax: Int { max(0, (items ?? 0) - (isStrict ? 1 : 0)) }
    package var blocks: Int { givenBlocks ?? items ?? 0 }

    /// `keysize`: the longest key.
    package var keyBytesMax: Int { givenKeyBytesMax ?? Self.usualKeyBytesMax }

    /// The longest key of an item: that of memcached in a cache of its kind.
    package var itemKeyBytesMax: Int { isMemcachedShaped ? TextParser.keyLengthMax : keyBytesMax }

    /// The largest value: what the blocks hold, and no more than `max_item_size`.
    package var valueBytesMax: Int { min(blockValueBytesMax, givenValueBytesMax ?? Self.valueBytesLimit) }

    /// The largest value that the blocks hold: one of them, or all.
    package var blockValueBytesMax: Int {
        guard isBitmap else { return blockBytes }
        let (all, overflow) = blockBytes.multipliedReportingOverflow(by: blocks)
        return overflow ? Self.valueBytesLimit : min(all, Self.valueBytesLimit)
    }

    /// What happens when it is full, in words.
    var whenFull: String {
        if purgesLeastRecentlyUsed { return "drops the least recently used" }
        return clearsOnFull ? "drops everything" : "refuses new items"
    }

    /// The line that says at the start what the cache is.
    func summary(places: [String], isRouted: Bool) -> String {
        let values =
            isBitmap
            ? "values of up to \(valueBytesMax) bytes in blocks of \(blockBytes)"
            : "values of up to \(valueBytesMax) bytes"
        let ways = places + (isRouted ? ["keys \(name)/..."] : [])
        let way = ways.isEmpty ? "no client" : ways.joined(separator: ", ")
        return "cache \"\(name)\" for \(way): \(itemsMax) items, \(values); when full it \(whenFull)"
    }

    /// No value is larger, in any cache.
    package static let valueBytesLimit = 1 << 30

    /// uWSGI's default of `keysize`.
    private static let usualKeyBytesMax = 2048
}
