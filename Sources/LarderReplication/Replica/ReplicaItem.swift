/// An item as a replica has it.
package struct ReplicaItem: Sendable {
    package var value: [UInt8]
    /// memcached's client flags.
    package var flags: UInt32
    /// The id of the record that set the value.
    package var version: UInt64

    /// An item.
    package init(value: [UInt8], flags: UInt32, version: UInt64) {
        self.value = value
        self.flags = flags
        self.version = version
    }
}
