import CLarderArena

// Loads and stores of single words that several threads, or other processes, may change. Which order each has, says
// larder_arena.h.
//
// SAFETY: the word is lent with `&` for the length of the call, so it is there. Of a word in an arena the type is
// what larder_arena.h says.

@safe @inline(__always)
func atomicLoad(_ word: UnsafePointer<UInt8>) -> UInt8 { larder_load_u8(word) }
@safe @inline(__always)
func atomicLoad(_ word: UnsafePointer<UInt16>) -> UInt16 { larder_load_u16(word) }
@safe @inline(__always)
func atomicLoad(_ word: UnsafePointer<UInt32>) -> UInt32 { larder_load_u32(word) }
@safe @inline(__always)
func atomicLoad(_ word: UnsafePointer<UInt64>) -> UInt64 { larder_load_u64(word) }

@safe @inline(__always)
func atomicStore(_ word: UnsafeMutablePointer<UInt8>, _ value: UInt8) { larder_store_u8(word, value) }
@safe @inline(__always)
func atomicStore(_ word: UnsafeMutablePointer<UInt16>, _ value: UInt16) { larder_store_u16(word, value) }
@safe @inline(__always)
func atomicStore(_ word: UnsafeMutablePointer<UInt32>, _ value: UInt32) { larder_store_u32(word, value) }
@safe @inline(__always)
func atomicStore(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64) { larder_store_u64(word, value) }

/// - Returns: the value before.
@safe @inline(__always)
func atomicAdd(_ word: UnsafeMutablePointer<UInt32>, _ value: UInt32) -> UInt32 { larder_add_u32(word, value) }
/// - Returns: the value before.
@safe @inline(__always)
func atomicAdd(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64) -> UInt64 { larder_add_u64(word, value) }

/// Stores the word if it has the expected value; false if it has another.
@safe @inline(__always)
func atomicExchange(_ word: UnsafeMutablePointer<UInt8>, _ expected: UInt8, _ desired: UInt8) -> Bool {
    larder_exchange_u8_is(word, expected, desired)
}

/// Adds to a counter that one thread writes and any may read: no locked instruction.
@safe @inline(__always)
func changeCount(_ counter: UnsafeMutablePointer<Int64>, _ change: Int64) { larder_count(counter, change) }
@safe @inline(__always)
func counted(_ counter: UnsafePointer<Int64>) -> Int64 { larder_counted(counter) }

/// Stores, and makes sure that every later load comes after it.
@safe @inline(__always)
func announce(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64) { larder_announce_u64(word, value) }

/// Whether a store is damaged, or has flushed items in its index: one load.
@safe @inline(__always)
func isAttentionNeeded(_ attention: UnsafePointer<larder_attention>) -> Bool { larder_needs_attention(attention) }

// A lock for sections of a few hundred instructions.
@safe @inline(__always)
func spinLock(_ word: UnsafeMutablePointer<UInt32>) { larder_spin_lock(word) }
@safe @inline(__always)
func spinUnlock(_ word: UnsafeMutablePointer<UInt32>) { larder_spin_unlock(word) }
