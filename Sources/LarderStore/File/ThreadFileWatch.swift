import CLarderArena
import Glibc

/// Has the kernel interrupt this thread when another program changes the file of a store. The store is condemned in the
/// interrupt. So the thread finds `StoreDamage.count` changed before it goes on, while a `FileWatch` needs a processor
/// for its own thread first.
///
/// A thread that sends what it read from stores in files makes one, and keeps it until its end.
package struct ThreadFileWatch: ~Copyable {
    /// Whether all the files are watched. If not, the thread learns of a change from each store's `FileWatch`.
    package let isComplete: Bool

    /// Watches for the calling thread. Stores that lie in memory are left out.
    /// - Parameter stores: they live longer than the watch.
    package init(_ stores: [Store]) {
        let watched = stores.filter { !$0.isKept }.compactMap {
            $0.file?.watched(&$0.state.process.pointee.attention.damage)
        }
        // SAFETY: the paths are read in the call only.
        isComplete = watched.isEmpty || larder_watch_in_thread(watched, watched.count)
        for store in watched { free(UnsafeMutablePointer(mutating: store.path)) }
    }

    // It is the thread's, and ends in it.
    deinit { larder_watch_end_in_thread() }
}
