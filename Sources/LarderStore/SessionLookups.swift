import CLarderArena

/// One key of many that are looked for together, and what was found under it.
@usableFromInline
package struct Lookup {
    /// The key: 1 byte to `HashedKey.lengthMax`. The caller fills these in.
    @usableFromInline package var key: UnsafeRawPointer
    @usableFromInline package var keyLength: Int
    @usableFromInline package internal(set) var hash: UInt64 = 0
    /// The live item's value, or nil: valid as long as an `Item` is.
    package internal(set) var value: UnsafeRawPointer? {
        @inlinable @inline(__always)
        get {
            #if DEBUG
                if address != nil { guardOfView.check() }
            #endif
            return address
        }
        @inline(__always)
        set { address = newValue }
    }
    @usableFromInline var address: UnsafeRawPointer?
    /// The moment of the lookup.
    @usableFromInline var guardOfView = ViewGuard()
    package internal(set) var valueLength = 0
    package internal(set) var clientFlags: UInt32 = 0
    /// As `Session.cas(of:)`, where it was asked for.
    package internal(set) var cas: UInt64 = 0
    /// Of a live item: its key was given in base64, or it is stale, or somebody was told to make it anew.
    package internal(set) var isMarked = false
    /// Of a live item: whether `markUsed` would change anything.
    package internal(set) var isUseNew = false
    /// Where there is no live one: whether there is one that has expired.
    @usableFromInline package internal(set) var isDead = false
    /// The item of that value; before that the one that probably is it.
    var base: UnsafeMutableRawPointer?
    var tag: UInt8 = 0
    /// Of the bucket, when `base` was read from it.
    var version: UInt32 = 1
    var bucket: Shared<larder_bucket>?

    package init(key: UnsafeRawPointer, keyLength: Int) {
        self.key = key
        self.keyLength = keyLength
    }

    /// Whether the key had an expired item. May be asked after the value has become invalid.
    @inlinable
    package var foundDead: Bool { address == nil && isDead }

    @inlinable
    package var hashedKey: HashedKey { HashedKey(bytes: key, length: keyLength, hash: hash) }
}

/// Whether `Session.markUsed` would change anything. A loop over many keys holds it in registers.
private struct UseCount {
    /// Uses from which an item's count stays.
    private let countMax: UInt8
    /// States of items that were found before whose count stays; 0: every use is new.
    private let span: UInt8

    @inline(__always)
    init(_ state: StoreState) {
        countMax = state.frequencyMax
        span = state.account == nil ? ItemState.fetched &- countMax : 0
    }

    /// Whether the item was not found yet, or its count is not full, or its use is noted for a limit.
    @inline(__always)
    func isNew(_ item: Item) -> Bool {
        let state = UInt8(truncatingIfNeeded: item.head >> 8)
        // Below `fetched` if the item was found before.
        let count = (state ^ ItemState.fetched) & (ItemState.fetched | ItemState.frequencyMask)
        return count &- countMax >= span
    }
}

extension Session {
    /// Looks for many keys at once: what a later key needs of memory is fetched while an earlier one is
    /// compared. What is answered is to be marked by `markUsed`.
    ///
    /// In three rounds: the buckets, then the items that their tags point to, then the items themselves
    /// (Chen et al., "Improving Hash Join Performance through Prefetching", ICDE 2004: group prefetching).
    ///
    /// - Parameter wantsCas: whether to fill in `Lookup.cas`.
    package func lookUp(_ lookups: UnsafeMutablePointer<Lookup>, count: Int, wantsCas: Bool, now: Int64) {
        let state = self.state
        let lookups = SharedArray(lookups, count: count)
        guard !state.needsAttention else {
            return lookUpAttentively(lookups, count: count, wantsCas: wantsCas, now: now)
        }
        let buckets = atomicLoad(&state.superblock.pointee.bucket_count)
        let uses = UseCount(state)
        if count == 1 {
            prepare(lookups.at(0), state.addresses, state.hashSeed, buckets)
            lookUp(lookups.at(0), nil, state, buckets, uses, now)
        } else {
            prefetch(lookups, count, state, buckets)
            for place in 0..<count {
                lookUp(lookups.at(place), candidate(lookups.at(place), state), state, buckets, uses, now)
            }
        }
        guard wantsCas else { return }
        for place in 0..<count where lookups[place].value != nil {
            if let base = lookups[place].base { lookups[place].cas = state.cas(of: Item(base)) }
        }
    }

    /// As `lookUp`, in a store that is condemned, or that has flushed items in its index.
    @inline(never)
    private func lookUpAttentively(_ lookups: SharedArray<Lookup>, count: Int, wantsCas: Bool, now: Int64) {
        let state = self.state
        for place in 0..<count {
            let lookup = lookups.at(place)
            let buckets = atomicLoad(&state.superblock.pointee.bucket_count)
            prepare(lookup, state.addresses, state.hashSeed, buckets)
            lookup.pointee.value = nil
            lookup.pointee.isDead = false
            let found =
                state.isCondemned
                ? nil : state.find(lookup.pointee.key, lookup.pointee.keyLength, hash: lookup.pointee.hash)
            guard let found, state.isValid(found) else {
                #if DEBUG
                    lookup.pointee.guardOfView = ViewGuard(slot)
                #endif
                continue
            }
            lookUp(lookup, found, state, buckets, UseCount(state), now)
            if wantsCas, lookup.pointee.value != nil { lookup.pointee.cas = state.cas(of: Item(found)) }
        }
    }

    /// Fetches what sets of these keys are going to need, as `lookUp` does for itself, and fills in `hashedKey`.
    package func prefetch(_ lookups: UnsafeMutablePointer<Lookup>, count: Int) {
        let state = self.state
        let lookups = SharedArray(lookups, count: count)
        let buckets = atomicLoad(&state.superblock.pointee.bucket_count)
        if count == 1 {
            prepare(lookups.at(0), state.addresses, state.hashSeed, buckets).prefetch()
        } else {
            prefetch(lookups, count, state, buckets)
        }
    }

    @inline(__always)
    private func prefetch(
        _ lookups: SharedArray<Lookup>, _ count: Int, _ state: StoreState, _ buckets: UInt64
    ) {
        let (addresses, seed) = (state.addresses, state.hashSeed)
        for place in 0..<count {
            prepare(lookups.at(place), addresses, seed, buckets).prefetch()
        }
        for place in 0..<count { prefetch(lookups.at(place), addresses) }
    }

    /// Hashes a key, and finds its bucket.
    @inline(__always) @discardableResult
    private func prepare(
        _ lookup: Shared<Lookup>, _ addresses: StoreState.Addresses, _ seed: UInt64, _ buckets: UInt64
    ) -> Shared<larder_bucket> {
        let hash = KeyHash.hash(lookup.pointee.key, count: lookup.pointee.keyLength, seed: seed)
        lookup.pointee.hash = hash
        lookup.pointee.tag = KeyHash.tag(hash)
        let bucket = addresses.ofBucket(StoreState.bucketNumber(hash, count: buckets))
        lookup.pointee.bucket = bucket
        return bucket
    }

    /// Fetches the first item of the bucket, which is near, that has the key's tag.
    @inline(__always)
    private func prefetch(_ lookup: Shared<Lookup>, _ addresses: StoreState.Addresses) {
        // SAFETY: the first round has put a bucket there.
        let bucket = lookup.pointee.bucket.unsafelyUnwrapped
        lookup.pointee.version = bucket.version
        let mask = bucket.match(lookup.pointee.tag)
        lookup.pointee.base = nil
        guard mask != 0 else { return }
        let slot = UInt32(truncatingIfNeeded: mask.trailingZeroBitCount)
        let item = addresses.ofBlock(bucket.block(slot))
        lookup.pointee.base = item
        larder_prefetch(item)
    }

    /// The item that `prefetch` has fetched; nil if it has another key, or a writer has changed the bucket since.
    @inline(__always)
    private func candidate(_ lookup: Shared<Lookup>, _ state: StoreState) -> UnsafeMutableRawPointer? {
        let version = lookup.pointee.version
        guard let item = lookup.pointee.base, version & 1 == 0,
            state.keyMatches(item, lookup.pointee.key, lookup.pointee.keyLength),
            lookup.pointee.bucket.unsafelyUnwrapped.isUnchanged(since: version)
        else { return nil }
        return item
    }

    @inline(__always)
    private func lookUp(
        _ lookup: Shared<Lookup>, _ candidate: UnsafeMutableRawPointer?, _ state: StoreState,
        _ buckets: UInt64, _ uses: UseCount, _ now: Int64
    ) {
        let keyLength = lookup.pointee.keyLength
        lookup.pointee.value = nil
        #if DEBUG
            lookup.pointee.guardOfView = ViewGuard(slot)
        #endif
        guard
            // SAFETY: the first round has put a bucket there.
            let found = candidate
                ?? state.find(
                    lookup.pointee.key, keyLength, hash: lookup.pointee.hash, tag: lookup.pointee.tag,
                    in: lookup.pointee.bucket.unsafelyUnwrapped, count: buckets)
        else {
            lookup.pointee.isDead = false
            return
        }
        let item = Item(found, foundBy: slot)
        let form = item.form
        // Most items have no expiry, nor a value of 64 KB.
        if form.rawValue & (ItemForm.expires.rawValue | ItemForm.longValue.rawValue) == 0 {
            lookup.pointee.valueLength = Int(item.head >> 48)
            lookup.pointee.clientFlags =
                form.rawValue & ItemForm.clientFlags.rawValue == 0
                // The flags of an item without expiry lie where an expiry would.
                ? 0 : item.base.load(fromByteOffset: form.expiryOffset, as: UInt32.self)
        } else {
            lookup.pointee.isDead = state.isDead(item, now: now)
            if lookup.pointee.isDead { return }
            lookup.pointee.valueLength = item.valueLength
            lookup.pointee.clientFlags = item.clientFlags
        }
        lookup.pointee.value = UnsafeRawPointer(found) + (form.headerLength &+ keyLength)
        lookup.pointee.base = found
        lookup.pointee.isMarked = item.hasMetaState
        lookup.pointee.isUseNew = uses.isNew(item)
    }

    /// Marks the item that a lookup has found as asked for. To be called where it is answered, if `isUseNew`.
    @inline(never)
    package func markUsed(_ lookup: UnsafeMutablePointer<Lookup>, now: Int64) {
        guard let base = lookup.pointee.base else { return }
        countUse(Item(base), now)
        if let account = state.account { noteOrder(Item(base), account) }
    }

    /// The item that a lookup found. Only for one whose `value` is not nil.
    package func item(of lookup: Lookup) -> Item? {
        lookup.value == nil ? nil : lookup.base.map { Item($0, foundBy: slot) }
    }
}
