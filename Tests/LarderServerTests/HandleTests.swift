import Testing

@testable import LarderServer

#if DEBUG
    /// The use of a freed client, connection or worker stops a debug build.
    struct HandleTests {
        @Test func aValueIsReadAndChangedThroughItsHandle() {
            let handle = Handle([1, 2])
            let same = Handle<[Int]>(context: handle.context)
            handle.pointee.append(3)
            #expect(same?.pointee == [1, 2, 3])
            #expect(same == handle)
            #expect(Handle<[Int]>(context: nil) == nil)
            handle.deallocate()
        }

        @Test func aFreedValueIsNotRead() async {
            await #expect(processExitsWith: .failure) {
                let handle = Handle(InlineArray<64, Int>(repeating: 1))
                handle.deallocate()
                _ = handle.pointee[63]
            }
        }

        @Test func aFreedValueIsNotChanged() async {
            await #expect(processExitsWith: .failure) {
                let handle = Handle(InlineArray<64, Int>(repeating: 1))
                handle.deallocate()
                handle.pointee[63] = 2
            }
        }
    }
#endif
