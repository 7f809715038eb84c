/// One key of `--cache`.
struct CacheKey: Sendable {
    /// Takes the value, escapes still in it; false when the key does not allow it.
    typealias Effect = @Sendable (inout CacheSettings, Substring) -> Bool

    /// Its names, the first of which the messages use.
    let names: [String]
    /// What it takes, as the object of a sentence.
    let allowed: String
    /// Whether it may stand without a value, which then is 1.
    let isSwitch: Bool
    /// Whether it means something for the memcached-shaped cache.
    let isForAll: Bool
    let effect: Effect

    private init(
        _ names: [String], _ allowed: String, isSwitch: Bool = false, isForAll: Bool = false,
        effect: @escaping Effect
    ) {
        self.names = names
        self.allowed = allowed
        self.isSwitch = isSwitch
        self.isForAll = isForAll
        self.effect = effect
    }

    static func named(_ name: String) -> CacheKey? { all.first { $0.names.contains(name) } }

    /// uWSGI's keys, in the order of its documentation, then Larder's own.
    static let all: [CacheKey] = geometry + files + whenFull + network + others + own

    private static let geometry = [
        CacheKey(["name"], nameAllowed, isForAll: true) { settings, text in
            settings.name = CacheSpecification.unescaped(text)
            return isName(settings.name)
        },
        number(["items", "max_items", "maxitems", "max-items"], 1...Int(UInt32.max)) { $0.items = $1 },
        size(["blocksize"], 1...CacheSettings.valueBytesLimit) { $0.blockBytes = $1 },
        number(["blocks"], 1...Int(UInt32.max)) { $0.givenBlocks = $1 },
        flag(["bitmap"]) { $0.isBitmap = $1 },
        CacheKey(["hash"], "djb33x, murmur2, random, rand or rr") { settings, text in
            settings.hashName = CacheSpecification.unescaped(text)
            return ["djb33x", "murmur2", "random", "rand", "rr"].contains(settings.hashName)
        },
        number(["hashsize", "hash_size"], 1...Int(UInt32.max)) { $0.hashSize = $1 },
        size(["keysize", "key_size"], 1...65_535) { $0.givenKeyBytesMax = $1 },
    ]

    private static let files = [
        CacheKey(["store"], "the path of a file", isForAll: true) { settings, text in
            settings.storePath = CacheSpecification.unescaped(text)
            return !text.isEmpty
        },
        CacheKey(["log"], "the URL of a log (file:///var/lib/larder/log)", isForAll: true) { settings, text in
            let url = CacheSpecification.unescaped(text)
            settings.logURL = url
            // A URL with a password is refused later, by a message that does not repeat it.
            return UpdateLogs.hasPassword(url) || UpdateLogs.isKnown(url)
        },
        number(["store_sync", "storesync"], 0...86_400, isForAll: true) { $0.storeSyncSeconds = $1 },
        flag(["store_delete", "storedelete"], isForAll: true) { $0.deletesWrongStore = $1 },
    ]

    private static let whenFull = [
        flag(["ignore_full"]) { $0.ignoresFull = $1 },
        flag(["purge_lru", "lru"]) { $0.purgesLeastRecentlyUsed = $1 },
        flag(["lazy_expire", "lazy"]) { $0.isLazy = $1 },
        number(["sweep_on_full"], 0...86_400) { $0.sweepOnFullSeconds = $1 },
        flag(["clear_on_full"]) { $0.clearsOnFull = $1 },
        flag(["no_expire"]) { $0.keepsExpired = $1 },
    ]

    private static let network = [
        addresses(["nodes", "node"], "addresses (10.0.0.5:3032) with ; between") { address, settings in
            guard address.host != nil, address.port > 0 else { return false }
            if !settings.nodes.contains(address) { settings.nodes.append(address) }
            return true
        },
        addresses(
            ["udp", "udp_server", "udp_servers", "udpserver", "udpservers"],
            "ports (:3032) and addresses (10.0.0.5:3032) with ; between"
        ) { address, settings in
            if !settings.udpAddresses.contains(address) { settings.udpAddresses.append(address) }
            return true
        },
        CacheKey(
            ["sync"], "addresses (10.0.0.5:3031) and socket files (/run/uwsgi.sock) of other servers, with ; between"
        ) { settings, text in
            for part in CacheSpecification.split(text, at: ";") {
                guard let place = place(CacheSpecification.unescaped(part)) else { return false }
                if case .tcp(let host, let port) = place, host == nil || port == 0 { return false }
                if !settings.copiedPlaces.contains(place) { settings.copiedPlaces.append(place) }
            }
            return true
        },
    ]

    private static let others = [
        flag(["lastmod"]) { $0.notesLastModified = $1 },
        CacheKey(["math_initial"], "a whole number from 0 to \(UInt64.max)", isForAll: true) { settings, text in
            settings.mathInitial = UInt64(text)
            return settings.mathInitial != nil
        },
    ]

    private static let own = [
        CacheKey(
            ["listen"], "ports (:11212), addresses (10.0.0.5:11212) and socket files (/run/a.sock), with ; between",
            isForAll: true
        ) { settings, text in
            for part in CacheSpecification.split(text, at: ";") {
                guard let place = place(CacheSpecification.unescaped(part)) else { return false }
                if !settings.places.contains(place) { settings.places.append(place) }
            }
            return true
        },
        number(["buckets"], 4...1024, isForAll: true) { $0.buckets = $1 },
        number(["bucket_interval"], 1...86_400, isForAll: true) { $0.bucketIntervalSeconds = $1 },
        size(["max_item_size"], 1...CacheSettings.valueBytesLimit) { $0.givenValueBytesMax = $1 },
        flag(["strict_items"]) { $0.isStrict = $1 },
        flag(["shrink"]) { $0.shrinks = $1 },
    ]

    // MARK: Kinds of values

    static let nameAllowed = "1 to 64 printable characters without spaces, / and @"

    private static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && name.utf8.allSatisfy { (0x21...0x7e).contains($0) }
            && !name.contains("/") && !name.contains("@")
    }

    private static func number(
        _ names: [String], _ range: ClosedRange<Int>, isForAll: Bool = false,
        _ set: @escaping @Sendable (inout CacheSettings, Int) -> Void
    ) -> CacheKey {
        let allowed = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        return CacheKey(names, allowed, isForAll: isForAll) { settings, text in
            guard let value = Int(text), range.contains(value) else { return false }
            set(&settings, value)
            return true
        }
    }

    private static func size(
        _ names: [String], _ range: ClosedRange<Int>,
        _ set: @escaping @Sendable (inout CacheSettings, Int) -> Void
    ) -> CacheKey {
        let allowed = "a size from \(range.lowerBound) to \(range.upperBound) bytes, with k, m or g if you like"
        return CacheKey(names, allowed) { settings, text in
            let bytes = byteCount(String(text), units: ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30], plain: 1)
            guard let bytes, range.contains(bytes) else { return false }
            set(&settings, bytes)
            return true
        }
    }

    private static func flag(
        _ names: [String], isForAll: Bool = false, _ set: @escaping @Sendable (inout CacheSettings, Bool) -> Void
    ) -> CacheKey {
        CacheKey(names, "1 or 0, true or false, or nothing, which is 1", isSwitch: true, isForAll: isForAll) {
            settings, text in
            switch text.lowercased() {
            case "1", "true", "yes", "on": set(&settings, true)
            case "0", "false", "no", "off": set(&settings, false)
            default: return false
            }
            return true
        }
    }

    /// - Parameter take: returns false if the key does not allow the address.
    private static func addresses(
        _ names: [String], _ allowed: String,
        _ take: @escaping @Sendable (CacheSettings.UDPAddress, inout CacheSettings) -> Bool
    ) -> CacheKey {
        CacheKey(names, allowed) { settings, text in
            for part in CacheSpecification.split(text, at: ";") {
                guard case .tcp(let host, let port) = place(CacheSpecification.unescaped(part)),
                    take(CacheSettings.UDPAddress(host: host, port: port), &settings)
                else { return false }
            }
            return true
        }
    }

    static func place(_ text: String) -> CacheSettings.Place? {
        if text.hasPrefix("unix:") { return unix(text.dropFirst("unix:".count)) }
        if text.contains("/") { return unix(text[...]) }
        if let port = port(text[...]) { return .tcp(host: nil, port: port) }
        guard let colon = text.lastIndex(of: ":"), let port = port(text[text.index(after: colon)...]) else {
            return nil
        }
        var host = text[..<colon]
        if host.isEmpty { return .tcp(host: nil, port: port) }
        if host.first == "[" {
            guard host.last == "]", host.count > 2 else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            // An IPv6 address without brackets has no port, or hides it.
            return nil
        }
        return .tcp(host: String(host), port: port)
    }

    private static func unix(_ path: Substring) -> CacheSettings.Place? {
        path.isEmpty ? nil : .unix(path: String(path))
    }

    /// 0: any free one.
    private static func port(_ text: Substring) -> Int? {
        guard let port = Int(text), (0...65_535).contains(port) else { return nil }
        return port
    }
}
