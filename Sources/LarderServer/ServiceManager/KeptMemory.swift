import Glibc
import LarderStore

/// The memory of caches without a file, whose descriptors the service manager keeps while the server restarts
/// (`--keep-memory`).
enum KeptMemory {
    /// What messages call it.
    static let text = "memory of the service manager"

    private static let prefix = "larder-memory-"

    /// The name of a cache's memory, for FDNAME: printable, without a colon.
    static func name(ofCache cache: String) -> String {
        prefix + cache.replacing("%", with: "%25").replacing(":", with: "%3A")
    }

    /// Whether a descriptor of the service manager is memory of a cache, and no socket.
    static func isMemory(_ fd: Int32, named name: String) -> Bool {
        var status = stat()
        return name.hasPrefix(prefix) && fstat(fd, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
            && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0
    }
}

extension Settings {
    /// Turns `--keep-memory` off where nothing would keep the memory.
    mutating func checkKeptMemory(_ notifier: ServiceNotifier) {
        guard keepsMemory, !notifier.hasManager else { return }
        keepsMemory = false
        StandardError.write("larder: --keep-memory has no effect: NOTIFY_SOCKET names no service manager", .warning)
    }
}

extension Server {
    /// Has the service manager keep the memory of this server's caches, and no other memory.
    func keepMemory(_ notifier: ServiceNotifier) {
        var found = state.settings.keptMemories
        for cache in state.caches where cache.store.isKept {
            guard let fd = cache.store.arenaDescriptor else { continue }
            let name = KeptMemory.name(ofCache: cache.name)
            let former = found.removeValue(forKey: name)
            if former == fd { continue }
            // The store has found other memory than this, and its items are in the new one by now.
            if former != nil { notifier.drop(name) }
            notifier.keep(fd, name)
        }
        for (name, fd) in found {
            close(fd)
            notifier.drop(name)
        }
    }
}
