/// A value in memory that several threads share. It lives longer than every copy of this pointer.
///
/// It is a pointer and no more: to copy it or to hand it on costs no reference counting. Which lock, or which atomic
/// access, a field of the value needs is said where the field is.
///
/// SAFETY: who makes one promises that the value is there, initialized, as long as anybody may use this. Memory of a
/// store is freed when the store ends, and no session outlives its store.
@safe struct Shared<Value>: Equatable {
    let pointer: UnsafeMutablePointer<Value>

    @inline(__always)
    init(_ pointer: UnsafeMutablePointer<Value>) { self.pointer = pointer }

    /// A value in memory of its own, until `deallocate`.
    init(allocating value: Value) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: value)
    }

    /// Deinitializes the value and frees its memory. No thread may use the value afterwards.
    func deallocate() {
        pointer.deinitialize(count: 1)
        UnsafeMutableRawPointer(pointer).deallocate()
    }

    /// The value itself, in its place: nothing is copied to read or to change a part of it.
    @inline(__always)
    var pointee: Value {
        @inline(__always) unsafeAddress { UnsafePointer(pointer) }
        @inline(__always) nonmutating unsafeMutableAddress { pointer }
    }
}

/// As many values as a store has slabs, or sessions, next to each other: as `Shared`, and with their number checked in
/// debug builds.
///
/// SAFETY: as for `Shared`. Who uses a number has it from a loop over all, or from what is within the arena.
@safe struct SharedArray<Element> {
    let start: UnsafeMutablePointer<Element>
    #if DEBUG
        private let count: Int
    #endif

    init(_ start: UnsafeMutablePointer<Element>, count: Int) {
        self.start = start
        #if DEBUG
            self.count = count
        #endif
    }

    /// Values in memory of their own, until `deallocate`.
    init(allocating value: Element, count: Int) {
        self.init(.allocate(capacity: count), count: count)
        start.initialize(repeating: value, count: count)
    }

    /// Frees the memory of values that need no deinitialization.
    func deallocate() { start.deallocate() }

    @inline(__always)
    private func check(_ place: Int) {
        #if DEBUG
            assert(place >= 0 && place < count, "place \(place) of \(count)")
        #endif
    }

    /// One of the values, in its place.
    @inline(__always)
    func at(_ place: Int) -> Shared<Element> {
        check(place)
        return Shared(start + place)
    }

    @inline(__always)
    subscript(place: Int) -> Element {
        @inline(__always) unsafeAddress {
            check(place)
            return UnsafePointer(start + place)
        }
        @inline(__always) nonmutating unsafeMutableAddress {
            check(place)
            return start + place
        }
    }
}
