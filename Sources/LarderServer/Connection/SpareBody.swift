import CLarderSystem
import Glibc
import Synchronization

/// The memory that the last large value in pieces was put together in, for the next one, whichever worker's: the system
/// would have to clear its pages anew, which costs more than to receive and copy the value.
///
/// It is kept only while unread answers take up more than it: a server of 64 MB has no room for it in the memory that it
/// takes up otherwise (docs/memory.md). The workers keep smaller ones themselves.
final class SpareBody: Sendable {
    private static let bytesMaxOfAll = 8 << 20
    /// Share of the server's memory, so that 900 KB fit where that is 64 MB.
    private static let memoryDivisor = 32
    let bytesMax: Int
    /// Its address; 0: there is none. SAFETY: an exchange gives it to one caller only.
    private let address = Atomic<UInt>(0)
    private let isAllowed = Atomic(false)
    /// Whether it was of use since the last `shrink`.
    private let wasUsed = Atomic(false)

    init(memoryLimitBytes: Int) {
        bytesMax = min(Self.bytesMaxOfAll, memoryLimitBytes / Self.memoryDivisor)
    }

    deinit { free(exchange(nil)) }

    /// Nil when there is none of that size, or not much more.
    func take(_ byteCount: Int) -> UnsafeMutableRawPointer? {
        guard byteCount <= bytesMax, let taken = exchange(nil) else { return nil }
        let size = larder_usable_size(taken)
        if size >= byteCount, size / 4 <= byteCount { return taken }
        free(exchange(taken))
        return nil
    }

    /// Tells how much unread answers take up now.
    func note(unreadBytes: Int) {
        let allows = unreadBytes > bytesMax
        if isAllowed.load(ordering: .relaxed) != allows { isAllowed.store(allows, ordering: .relaxed) }
    }

    /// Takes memory back; false when it may not be kept.
    func giveBack(_ body: UnsafeMutableRawPointer) -> Bool {
        guard isAllowed.load(ordering: .relaxed), larder_usable_size(body) <= bytesMax else { return false }
        wasUsed.store(true, ordering: .relaxed)
        free(exchange(body))
        return true
    }

    private func exchange(_ memory: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        UnsafeMutableRawPointer(
            bitPattern: address.exchange(UInt(bitPattern: memory), ordering: .acquiringAndReleasing))
    }

    /// Once a second: frees what was not needed since the last time, or may not be kept any more.
    func shrink() {
        let isNeeded = wasUsed.exchange(false, ordering: .relaxed)
        if !isNeeded || !isAllowed.load(ordering: .relaxed) { free(exchange(nil)) }
    }
}
