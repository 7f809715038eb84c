/// Leases of the binary dialect, which has no others: see `BinaryDialect`.
extension StoredItem {
    /// What an empty item is that only stands for a lease. Of what these bits mean to other clients, in their low
    /// halves, none is set, so that they take it for the empty bytes that it is.
    static let leaseMarkerFlags: UInt32 = 0x4C45_0000

    /// Whether it stands for a lease of the binary dialect, and is no value.
    var isLeaseMarker: Bool { flags == Self.leaseMarkerFlags && bytes.isEmpty }
}
