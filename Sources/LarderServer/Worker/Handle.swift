import LarderEventLoop

/// A value at a fixed address, which one thread makes, uses and frees: a worker's state, a client, a connection.
///
/// SAFETY: these rules are the whole of what makes a handle safe, so that code which has one needs none of its own.
/// - The thread that makes a value is the only one that uses its handle. Workers share no value.
/// - The owner of a value frees it once, and drops every handle to it first: a client's lists are left in
///   `close(_:)`, the event loop's watch is removed there, and connections stand in their client or in a free list.
/// - A mark behind the value is set while it lives. Debug builds check it at every access, so that the use of a
///   freed value stops the tests.
@safe struct Handle<Value: ~Copyable>: Equatable {
    private let address: UnsafeMutablePointer<Value>

    /// Makes a value.
    init(_ value: consuming Value) {
        let bytes = UnsafeMutableRawPointer.allocate(
            byteCount: Self.markOffset + MemoryLayout<UInt64>.size, alignment: MemoryLayout<Value>.alignment)
        address = bytes.bindMemory(to: Value.self, capacity: 1)
        address.initialize(to: value)
        bytes.storeBytes(of: Self.liveMark, toByteOffset: Self.markOffset, as: UInt64.self)
    }

    /// The handle whose `context` the event loop hands back.
    ///
    /// SAFETY: `context` is that of a handle of the same type, and its watch is removed before the value is freed.
    @inline(__always)
    init?(context: UnsafeMutableRawPointer?) {
        guard let context else { return nil }
        address = context.assumingMemoryBound(to: Value.self)
    }

    /// What an event handler gets, to find the value again.
    var context: UnsafeMutableRawPointer { UnsafeMutableRawPointer(address) }

    /// The value.
    @inline(__always)
    var pointee: Value {
        unsafeAddress {
            assert(isLive, "a freed \(Value.self) is used")
            return UnsafePointer(address)
        }
        nonmutating unsafeMutableAddress {
            assert(isLive, "a freed \(Value.self) is used")
            return address
        }
    }

    /// Ends the value. No handle to it may be used any more.
    func deallocate() {
        assert(isLive, "a \(Value.self) is freed twice")
        context.storeBytes(of: 0, toByteOffset: Self.markOffset, as: UInt64.self)
        address.deinitialize(count: 1)
        context.deallocate()
    }

    /// Whether the value has not been freed. Only assertions ask: after the end of the value its memory may belong to
    /// another one.
    private var isLive: Bool {
        context.loadUnaligned(fromByteOffset: Self.markOffset, as: UInt64.self) == Self.liveMark
    }

    private static var markOffset: Int { MemoryLayout<Value>.stride }
    private static var liveMark: UInt64 { 0x6c69_7665_6c69_7665 }

    static func == (left: Handle, right: Handle) -> Bool { left.address == right.address }
}

typealias WorkerHandle = Handle<WorkerCore>
typealias ClientHandle = Handle<Client>
typealias ConnectionHandle = Handle<Connection>
typealias DatagramPortHandle = Handle<DatagramPort>
typealias SyncPortHandle = Handle<SyncPort>

/// A value with a watch of the event loop, which is its first member.
protocol Watched {
    var watch: WatchStorage { get set }
}

extension Handle where Value: Watched {
    /// The watch of the value.
    var watch: Watch {
        // SAFETY: the watch is the first member of a `Watched` value.
        Watch(context.assumingMemoryBound(to: WatchStorage.self))
    }
}
