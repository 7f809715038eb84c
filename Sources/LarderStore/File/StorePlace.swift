import Glibc

extension Store {
    /// Waits until the disk has every page of the store's file as it was when this was called.
    /// - Returns: false if the disk failed, or there is no file.
    package func syncFile() -> Bool {
        guard let file else { return false }
        // SAFETY: the mapping lives as long as the store.
        return msync(file.base, file.mappedBytes, MS_SYNC) == 0
    }

    /// Renames the store's file. A store's file that has the new name is removed, and its readers switch to this one.
    /// The caller makes sure that no store has that file open.
    package func takePlace(of path: String) throws(StoreError) {
        guard let file else { return }
        let old = try ArenaFile.open(path)
        defer { old.close() }
        FileSuperblock.retire(old)
        guard rename(file.path, path) == 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
    }
}
