/// What memcached refuses of settings that do not go together, although Larder would have no trouble:
/// a command line that is wrong there is wrong here, in the same words. Not refused is what is only
/// wrong by memcached's defaults, such as `-I 1500k`.
func checkMachinery(_ settings: Settings) throws(Ending) {
    if settings.slabChunkIsGiven { try checkSlabChunks(settings) }
    let tunables = settings.tunables
    if tunables.hotPercent + tunables.warmPercent > 80 {
        throw .usage("hot_lru_pct + warm_lru_pct cannot be more than 80% combined")
    }
    if settings.temporaryTTL != nil, !settings.showsMaintainer {
        throw .usage("temporary_ttl requires lru_maintainer to be enabled")
    }
}

private func checkSlabChunks(_ settings: Settings) throws(Ending) {
    let (chunk, item) = (settings.slabChunkMaxBytes, settings.maxItemSizeBytes)
    let page = 1 << 20
    if chunk > item {
        throw .usage("slab_chunk_max (bytes: \(chunk)) cannot be larger than -I (item_size_max \(item))")
    }
    if item % chunk != 0 {
        throw .usage("-I (item_size_max: \(item)) must be evenly divisible by slab_chunk_max (bytes: \(chunk))")
    }
    if page % chunk != 0 {
        throw .usage("slab_chunk_max (bytes: \(chunk)) must divide evenly into \(page) (slab_page_size)")
    }
}

/// `-o slab_sizes=96-192-384`: sizes of items, each larger than the one before.
func checkSlabSizes(_ text: String, smallest: Int, largest: Int) throws(Ending) {
    let alignment = 8
    var last = 0
    for word in text.split(separator: "-") {
        let size = LeadingInteger(word)
        guard size.isWhole, size.value >= smallest, size.value <= largest else {
            throw .usage("slab size \(size.value) is out of valid range")
        }
        guard size.value > last else {
            throw .usage("slab size \(size.value) cannot be lower than or equal to a previous class size")
        }
        guard size.value > last + alignment else {
            throw .usage("slab size \(size.value) must be at least \(alignment) bytes larger than previous class")
        }
        last = size.value
    }
}
