import LarderStore

/// Answers that are not sent, because another program changed the file of a store after they were begun.
extension WorkerHandle {
    /// Whether the unsent answers of a client may be sent.
    @inline(__always)
    func maySend(_ client: ClientHandle) -> Bool {
        if pointee.context.damages != pointee.damagesSeen { spoilAnswers() }
        return !client.pointee.connection.pointee.output.isSpoiled
    }

    /// Marks all unsent answers that may have bytes of a damaged store. Their clients are closed when they can take
    /// more.
    @inline(never)
    func spoilAnswers() {
        let damages = StoreDamage.count
        pointee.damagesSeen = damages
        var next = pointee.clients
        while let client = next {
            next = client.pointee.next
            let connection = client.pointee.connection
            if pointee.context.isDoubtful(connection.pointee, damages) { connection.pointee.output.isSpoiled = true }
        }
    }

    /// Empties damaged stores. Called before a turn begins.
    @inline(never)
    func repairStores() {
        pointee.damagesRepaired = StoreDamage.count
        spoilAnswers()
        pointee.context.repairStores()
    }
}

extension WorkerContext {
    /// Whether unsent answers may have bytes of a damaged store.
    /// - Parameter damages: the present `StoreDamage.count`.
    func isDoubtful(_ connection: borrowing Connection, _ damages: UInt32) -> Bool {
        guard !connection.output.isEmpty, connection.output.damagesJudged != damages else { return false }
        // Requests of these clients name the cache.
        let isUwsgi = connection.dialect == .uwsgi
        if routesKeys || isUwsgi { return hasFiles }
        return state.caches[connection.cacheNumber].store.isInFile
    }

    /// Whether a store lies in a file, which other programs may change.
    var hasFiles: Bool { state.caches.contains { $0.store.isInFile } }
}

extension ServerState {
    /// Has the kernel tell the calling thread of changes of the stores' files. For threads that send what stores hold.
    func watchFilesInThread() -> ThreadFileWatch { ThreadFileWatch(caches.map(\.store)) }

    func reportUnwatchedFiles() {
        StandardError.write(
            "larder: the system has no more inotify descriptors (fs.inotify.max_user_instances): if another program "
                + "changes a store's file, the server may notice it late", .warning)
    }
}
