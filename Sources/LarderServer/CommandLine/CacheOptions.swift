extension Option {
    static let caches: [Option] = [
        Option(
            long: "cache", .required("KEY=VALUE,..."), .caches,
            "one more cache: name=, items=, blocksize=, bitmap=1,\nlisten=:PORT ... (docs/named-caches.md)",
            effect: { draft, text in draft.cacheTexts.append(text) }),
        Option(
            long: "cache2", .required("KEY=VALUE,..."), .caches, "the same, by uWSGI's name for it",
            effect: { draft, text in draft.cacheTexts.append(text) }),
        Option(
            long: "key-route", .none, .caches, "on the main port NAME/KEY is KEY in the cache NAME",
            effect: { draft, _ in draft.settings.routesKeys = true }),
        Option(
            long: "compat", .none, .caches, "warn about unknown keys of --cache, and start",
            effect: { draft, _ in draft.isCompatible = true }),
    ]
}

/// Reads every `--cache`, once it is known whether `--compat` stands somewhere.
func applyCaches(to draft: inout Draft) throws(Ending) {
    for text in draft.cacheTexts {
        let cache = try cacheSettings(text, &draft)
        if draft.settings.caches.contains(where: { $0.name == cache.name }) {
            throw .usage("cache \"\(cache.name)\" is given twice: each cache needs a name of its own.")
        }
        draft.settings.caches.append(cache)
    }
    guard !draft.settings.routesKeys, draft.settings.uwsgiPlaces.isEmpty else { return }
    for cache in draft.settings.caches where cache.places.isEmpty && cache.name != CacheSettings.defaultName {
        draft.warn(
            "cache \"\(cache.name)\" is out of reach: give it listen=:PORT, or the server --key-route or "
                + "--uwsgi.")
    }
}

private func cacheSettings(_ text: String, _ draft: inout Draft) throws(Ending) -> CacheSettings {
    let fields = CacheSpecification(text).fields
    guard let name = fields.first(where: { $0.key == "name" })?.value else {
        throw .usage("--cache \"\(text)\" has no name: give it name= and \(CacheKey.nameAllowed).")
    }
    var settings = CacheSettings(name: CacheSpecification.unescaped(name))
    let title = "cache \"\(settings.name)\""
    var given: [String] = []
    for field in fields {
        guard let key = CacheKey.named(field.key) else {
            let known = CacheKey.all.compactMap(\.names.first).joined(separator: ", ")
            let message = "\(title): there is no key \"\(field.key)\""
            guard draft.isCompatible else { throw .usage("\(message); there are \(known).") }
            draft.warn("\(message), so it is passed over.")
            continue
        }
        let canonical = key.names[0]
        if given.contains(canonical), canonical != "listen" {
            throw .usage("\(title): \(canonical) is given twice, and takes \(key.allowed).")
        }
        given.append(canonical)
        guard let value = field.value ?? (key.isSwitch ? "1" : nil) else {
            throw .usage("\(title): \(field.key) needs a value: \(key.allowed).")
        }
        guard key.effect(&settings, value) else {
            throw .usage("\(title): \(field.key) takes \(key.allowed), not \"\(value)\".")
        }
    }
    try checkTogether(settings, given, title)
    return settings
}

/// What only all keys of a cache show.
private func checkTogether(_ settings: CacheSettings, _ given: [String], _ title: String) throws(Ending) {
    if let url = settings.logURL {
        guard !UpdateLogs.hasPassword(url) else {
            throw .usage(
                "\(title): log has a password, which others could read: give passwordfile=PATH in the URL, or PGPASSWORD "
                    + "or MYSQL_PWD in the environment.")
        }
        guard settings.storePath != nil else {
            throw .usage("\(title): store is missing: with log give store= and the path of a file.")
        }
        guard settings.items == nil else {
            throw .usage("\(title): items does not go with log: -m limits a replicated cache.")
        }
    }
    guard let items = settings.items else {
        guard settings.name == CacheSettings.defaultName || settings.logURL != nil else {
            throw .usage("\(title): items is missing: give items= and a whole number from 1 to \(UInt32.max).")
        }
        for key in CacheKey.all where !key.isForAll && given.contains(key.names[0]) {
            throw .usage(
                "\(title): \(key.names[0]) needs items= beside it; without items this is memcached's kind of "
                    + "cache, which -m limits.")
        }
        return
    }
    if settings.blocks < items {
        throw .usage("\(title): blocks takes a whole number from \(items) (items) up, not \"\(settings.blocks)\".")
    }
    if settings.isStrict, items < 2 {
        throw .usage(
            "\(title): strict_items=1 holds one item less than items, which takes 2 or more, not \"\(items)\".")
    }
    if let given = settings.givenValueBytesMax, given > settings.blockValueBytesMax {
        let largest = settings.isBitmap ? "blocksize x blocks" : "blocksize, since bitmap is off"
        throw .usage(
            "\(title): max_item_size takes at most \(settings.blockValueBytesMax) (\(largest)), not \"\(given)\".")
    }
    guard StoreSize.fits(settings) else {
        throw .usage(
            "\(title): blocks x blocksize takes at most \(StoreSize.arenaBytesMax >> 30) GB with what is kept beside "
                + "it, not \"\(settings.blocks) x \(settings.blockBytes)\".")
    }
}
