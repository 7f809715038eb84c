import CLarderArena
import Glibc

/// Notices when another program writes to a store's file or truncates it. The server itself changes the file through
/// its mapping only, which inotify does not report. So every reported change is another program's.
///
/// The watch has a thread of its own, since the store has no event loop. The thread sleeps until the first change, and
/// ends after it.
final class FileWatch: @unchecked Sendable {
    // SAFETY: `@unchecked` because the damage word is an atomic of the store's, and `stop` and `awaitEnd` are called
    // under the lock of the file that has this object.
    let watchDescriptor: Int32
    private var stopPipe: (read: Int32, write: Int32)
    private let damage: UnsafeMutablePointer<UInt32>
    private var thread = pthread_t()
    private var hasEnded = false

    /// - Parameter damage: set when the file was changed. It must live until `stop` has returned.
    /// - Returns: nil if the system cannot watch files.
    init?(_ fd: Int32, _ path: String, damage: UnsafeMutablePointer<UInt32>) {
        self.damage = damage
        watchDescriptor = larder_watch_file(fd, path)
        var ends: [Int32] = [-1, -1]
        guard watchDescriptor >= 0, pipe(&ends) == 0 else {
            stopPipe = (-1, -1)
            return nil
        }
        stopPipe = (ends[0], ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setstacksize(&attributes, 64 << 10)
        defer { pthread_attr_destroy(&attributes) }
        let started = pthread_create(&thread, &attributes, runFileWatch, Unmanaged.passUnretained(self).toOpaque())
        guard started == 0 else { return nil }
    }

    deinit {
        for descriptor in [watchDescriptor, stopPipe.read, stopPipe.write] where descriptor >= 0 { close(descriptor) }
    }

    /// Ends the thread. Call it once, before the object is freed.
    func stop() {
        close(stopPipe.write)
        stopPipe.write = -1
        awaitEnd()
    }

    /// Waits until the thread has ended: after a change of the file, or after `stop`.
    func awaitEnd() {
        guard !hasEnded else { return }
        pthread_join(thread, nil)
        hasEnded = true
    }

    fileprivate func run() {
        if larder_watch_wait(watchDescriptor, stopPipe.read) {
            larder_condemn(damage, StoreDamage.fileChanged.rawValue)
        }
    }
}

private func runFileWatch(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    // SAFETY: the object's owner joins this thread before it lets the object go.
    Unmanaged<FileWatch>.fromOpaque(context).takeUnretainedValue().run()
    return nil
}
