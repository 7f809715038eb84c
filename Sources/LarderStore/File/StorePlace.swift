import Glibc

extension Store {
    /// Waits until the disk has every page of the store's file as it was when this was called.
    /// - Returns: false if the disk failed, or there is no file.
    package func syncFile() -> Bool {
        guard let file else { return false }
        // SAFETY: the mapping lives as long as the store.
        return msync(file.base, file.mappedBytes, MS_SYNC) == 0
    }

    /// Gives the store's file another name. If a store's file has that name, it goes, and its readers go over to this
    /// one. The caller knows that no store has that file open.
    package func takePlace(of path: String) throws(StoreError) {
        guard let file else { return }
        let old = try ArenaFile.open(path)
        defer { old.close() }
        FileSuperblock.retire(old)
        guard rename(file.path, path) == 0 else { throw .fileRefused(path: path, .system(errno: errno)) }
    }
}
