import CLarderArena

/// An item's bytes, from the first of its blocks:
///
/// ```
/// 0       1       2         3            6              8
/// | form  | state | key len | order (24) | value length | optional fields | accessed | key | value | padding
/// ```
///
/// `form` says which optional fields there are, in this order, each aligned:
/// a cas other than the order (8 bytes), the expiry in milliseconds from the slab's base (4), client
/// flags (4), the upper bits of the value's length (4), a checksum (4, in files), the length of a key of more
/// than 255 bytes (2), which has 0 in the byte `key len`. `order` is the number
/// of the write, from the slab's base: of two copies of an item the later one has the higher number,
/// whatever cas a client gave it. `accessed` (2) is the second of the last access, its low 16 bits. An
/// item without expiry and flags costs 10 bytes, its rounding to a block of 8 and its index slot. Of
/// `form` only `dead` ever changes, once; `state` and `accessed` may change at any time.
@usableFromInline
struct ItemForm: OptionSet {
    @usableFromInline let rawValue: UInt8
    @inlinable @inline(__always)
    static var wideCas: ItemForm { ItemForm(rawValue: 1 << 0) }
    @inlinable @inline(__always)
    static var expires: ItemForm { ItemForm(rawValue: 1 << 1) }
    @inlinable @inline(__always)
    static var clientFlags: ItemForm { ItemForm(rawValue: 1 << 2) }
    @inlinable @inline(__always)
    static var longValue: ItemForm { ItemForm(rawValue: 1 << 3) }
    /// The key has more than `shortKeyMax` bytes. Its length has two bytes of its own.
    @inlinable @inline(__always)
    static var longKey: ItemForm { ItemForm(rawValue: 1 << 5) }
    /// The item has a checksum: it lies in a file.
    @inlinable @inline(__always)
    static var checked: ItemForm { ItemForm(rawValue: 1 << 6) }
    /// The item was deleted, replaced, dropped or moved: see `StoreState.markDead`.
    @inlinable @inline(__always)
    static var dead: ItemForm { ItemForm(rawValue: 1 << 7) }
    /// The key was given in base64, and is given back so.
    @inlinable @inline(__always)
    static var binaryKey: ItemForm { ItemForm(rawValue: 1 << 4) }

    @inlinable @inline(__always)
    init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The longest key whose length fits the item's first eight bytes.
    static let shortKeyMax = 255

    /// - Parameter fixedBits: `StoreState.formBits(keyLength:)`.
    @inline(__always)
    init(
        valueLength: Int, clientFlags: UInt32, expires: Bool, wideCas: Bool, binaryKey: Bool = false,
        fixedBits: UInt8 = 0
    ) {
        var bits: UInt8 = binaryKey ? fixedBits | Self.binaryKey.rawValue : fixedBits
        if wideCas { bits |= Self.wideCas.rawValue }
        if expires { bits |= Self.expires.rawValue }
        if clientFlags != 0 { bits |= Self.clientFlags.rawValue }
        if valueLength > 0xffff { bits |= Self.longValue.rawValue }
        rawValue = bits
    }

    /// Bytes before the key.
    @inlinable @inline(__always)
    var headerBytes: Int {
        let bits = Int(rawValue)
        return 10 &+ (bits & 1) << 3 &+ (bits & 2) << 1 &+ (bits & 4) &+ (bits & 8) >> 1 &+ (bits & 96) >> 4
    }
    /// `headerBytes` from a table, which takes fewer instructions. `headerBytes` is inlined into other modules, where the
    /// table of C is not visible.
    @inline(__always)
    var headerLength: Int { Int(truncatingIfNeeded: larder_header_bytes(rawValue)) }
    /// The last two bytes before the key.
    @inline(__always)
    var accessedOffset: Int { headerBytes &- 2 }
    @inlinable @inline(__always)
    var expiryOffset: Int { 8 &+ Int(rawValue & 1) << 3 }
    @inlinable @inline(__always)
    var clientFlagsOffset: Int { expiryOffset &+ Int(rawValue & 2) << 1 }
    @inlinable @inline(__always)
    var longValueOffset: Int { clientFlagsOffset &+ Int(rawValue & 4) }
    /// Where the checksum is, if there is one.
    @inline(__always)
    var checksumOffset: Int { longValueOffset &+ Int(rawValue & 8) >> 1 }
    /// Where the length of a long key is, if the key is one.
    @inlinable @inline(__always)
    var longKeyOffset: Int { headerBytes &- 4 }
}

/// A view of one item in the arena. It stays valid until its session allocates or ends its turn.
///
/// SAFETY: `base` comes from the index or from a walk over a slab's used blocks, both under the
/// protection that `Epochs` describes; the lengths are those its writer checked before publishing.
@safe @usableFromInline package struct Item {
    @usableFromInline let address: UnsafeMutableRawPointer
    @usableFromInline let firstBytes: UInt64
    @usableFromInline let guardOfView: ViewGuard

    /// An item that a lock protects, or that lies in memory that never changes.
    @inline(__always)
    init(_ base: UnsafeMutableRawPointer) {
        address = base
        firstBytes = larder_load_head(base)
        guardOfView = ViewGuard()
    }

    /// An item that a session has found. The session may use it until it goes offline.
    @inline(__always)
    init(_ base: UnsafeMutableRawPointer, foundBy session: Shared<SessionSlot>) {
        address = base
        firstBytes = larder_load_head(base)
        guardOfView = ViewGuard(session)
    }

    @inlinable @inline(__always)
    var base: UnsafeMutableRawPointer {
        guardOfView.check()
        return address
    }
    /// The first eight bytes, read once.
    @inlinable @inline(__always)
    var head: UInt64 {
        guardOfView.check()
        return firstBytes
    }

    @inlinable @inline(__always)
    var form: ItemForm { ItemForm(rawValue: UInt8(truncatingIfNeeded: head)) }
    @inlinable @inline(__always)
    package var keyLength: Int {
        guard form.rawValue & ItemForm.longKey.rawValue != 0 else { return Int(head >> 16 & 0xff) }
        return Int(base.load(fromByteOffset: form.longKeyOffset, as: UInt16.self))
    }
    @inlinable @inline(__always)
    package var key: UnsafeMutableRawPointer { base + form.headerBytes }
    @inlinable @inline(__always)
    package var valueLength: Int {
        let low = Int(head >> 48)
        guard form.rawValue & ItemForm.longValue.rawValue != 0 else { return low }
        return low | Int(base.load(fromByteOffset: form.longValueOffset, as: UInt32.self)) << 16
    }
    @inlinable @inline(__always)
    package var value: UnsafeMutableRawPointer { base + (form.headerBytes &+ keyLength) }
    @inlinable @inline(__always)
    package var clientFlags: UInt32 {
        guard form.rawValue & ItemForm.clientFlags.rawValue != 0 else { return 0 }
        return base.load(fromByteOffset: form.clientFlagsOffset, as: UInt32.self)
    }
    /// Copies of the key and of the value.
    var keyBytes: [UInt8] { Array(UnsafeRawBufferPointer(start: key, count: keyLength)) }
    var valueBytes: [UInt8] { Array(UnsafeRawBufferPointer(start: value, count: valueLength)) }

    @inline(__always)
    var totalBytes: Int {
        guard form.rawValue & (ItemForm.longKey.rawValue | ItemForm.longValue.rawValue) == 0 else {
            return form.headerBytes &+ keyLength &+ valueLength
        }
        return form.headerLength &+ Int(head >> 16 & 0xff) &+ Int(head >> 48)
    }

    /// Whether the item was found since it was stored, as of when this view was taken.
    @inlinable @inline(__always)
    package var wasFetched: Bool { head & UInt64(ItemState.fetched) << 8 != 0 }
    /// Whether the item was marked stale, as of when this view was taken.
    @inlinable @inline(__always)
    package var isStale: Bool { head & UInt64(ItemState.stale) << 8 != 0 }
    /// Whether a client was told to make the value anew, as of when this view was taken.
    @inlinable @inline(__always)
    package var isWinSent: Bool { head & UInt64(ItemState.winSent) << 8 != 0 }
    /// Stale, or a client told to make it anew: both are rare.
    @inlinable @inline(__always)
    package var isMarked: Bool { head & UInt64(ItemState.marksMask) << 8 != 0 }
    /// Whether the key was given in base64 when the item was stored.
    @inlinable @inline(__always)
    package var keyIsBinary: Bool { form.rawValue & ItemForm.binaryKey.rawValue != 0 }

    /// `isMarked` or `keyIsBinary`.
    @inline(__always)
    var hasMetaState: Bool {
        head & (UInt64(ItemState.marksMask) << 8 | UInt64(ItemForm.binaryKey.rawValue)) != 0
    }

    /// Times this item was found of late: counted down when eviction passes it over.
    @inline(__always)
    var frequency: UInt8 { state & ItemState.frequencyMask }
    /// The state byte as it is now: `ItemState`.
    @inline(__always)
    var state: UInt8 {
        @inline(__always) get { atomicLoad(stateField) }
        @inline(__always) nonmutating set { atomicStore(stateField, newValue) }
    }
    /// Changes the state byte unless another thread was faster.
    @inline(__always)
    func exchangeState(_ expected: UInt8, _ desired: UInt8) -> Bool { atomicExchange(stateField, expected, desired) }
    /// Low 16 bits of the second of the last access.
    @inline(__always)
    var accessed: UInt16 {
        @inline(__always) get { atomicLoad(accessedField) }
        @inline(__always) nonmutating set { atomicStore(accessedField, newValue) }
    }

    /// Milliseconds from the slab's base at which the item expires. Only for a form with an expiry.
    @inline(__always)
    var expiresAfter: UInt32 { atomicLoad(expiryField) }
    @inline(__always)
    func setExpiry(_ milliseconds: UInt32) { atomicStore(expiryField, milliseconds) }

    // SAFETY: the form says which fields there are, and each is aligned.
    @inline(__always)
    private var expiryField: UnsafeMutablePointer<UInt32> {
        assert(form.contains(.expires))
        return (base + form.expiryOffset).assumingMemoryBound(to: UInt32.self)
    }
    @inline(__always)
    private var stateField: UnsafeMutablePointer<UInt8> { (base + 1).assumingMemoryBound(to: UInt8.self) }
    @inline(__always)
    private var accessedField: UnsafeMutablePointer<UInt16> {
        (base + form.accessedOffset).assumingMemoryBound(to: UInt16.self)
    }
}

/// The byte of an item that changes while it lives: by compare-and-exchange, so that no bit is lost
/// to a change of another. The marks are set under the bucket's lock only.
@usableFromInline
enum ItemState {
    /// Hits that eviction has not taken back yet: up to 3, in a size-aware store up to 15.
    static let frequencyMask: UInt8 = 0x0f
    /// Found at least once since it was stored.
    @inlinable @inline(__always)
    static var fetched: UInt8 { 0x40 }
    /// To be made anew: whoever is told so first does it.
    @inlinable @inline(__always)
    static var stale: UInt8 { 0x10 }
    /// A client was told to make the value anew.
    @inlinable @inline(__always)
    static var winSent: UInt8 { 0x20 }
    @inlinable @inline(__always)
    static var marksMask: UInt8 { 0x30 }
    /// In files, until the item is about to be published: a kill may leave one that was going to be
    /// refused.
    static let pending: UInt8 = 0x80

    /// Seconds as they are kept in an item.
    @inline(__always)
    static func accessed(_ now: Int64) -> UInt16 { UInt16(truncatingIfNeeded: now / 1000) }
}

/// Everything that decides an item's size and header, before it has a place.
struct ItemShape {
    var keyLength: Int
    var valueLength: Int
    var clientFlags: UInt32
    /// Absolute milliseconds; `Int64.max`: never.
    var expiryMilliseconds: Int64
    /// The cas that clients are to see; nil: that of the order.
    var cas: UInt64?
    /// The order of writing to keep when an item moves; nil gives it a new one.
    var order: UInt64?
    /// The state byte to begin with.
    var state: UInt8 = 0
    var keyIsBinary = false
    /// Low 16 bits of the second of the last access.
    var accessed: UInt16 = 0
    /// `StoreState.formBits(keyLength:)`.
    var fixedBits: UInt8 = 0

    @inline(__always)
    func form(wideCas: Bool) -> ItemForm {
        ItemForm(
            valueLength: valueLength, clientFlags: clientFlags,
            expires: expiryMilliseconds != Int64.max, wideCas: wideCas, binaryKey: keyIsBinary,
            fixedBits: fixedBits)
    }
    @inline(__always)
    func totalBytes(wideCas: Bool) -> Int {
        form(wideCas: wideCas).headerLength &+ keyLength &+ valueLength
    }
}
