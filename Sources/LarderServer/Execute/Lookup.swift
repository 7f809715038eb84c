import LarderStore
import LarderWire

/// One item at a time, with no more than its value: what uWSGI's client asks.
extension Execute {
    static func fetch(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        let item = find(hashed, &context)
        if context.detailIsEnabled { countPrefix(context, hashed, isHit: item != nil) }
        if context.isWatched { context.logLookup(hashed, item, connection.number) }
        context.counters.add(.cmdGet)
        guard let item else {
            context.counters.add(.getMisses)
            return connection.reply(.notFound, &context)
        }
        context.counters.add(.getHits)
        connection.writeFetched(item, &context)
        context.session.markUsed(item, now: context.now)
    }

    static func contains(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ key: UnsafePointer<UInt8>
    ) {
        let hashed = context.session.hashed(key, length: request.keyLength)
        connection.reply(find(hashed, &context) == nil ? .notFound : .ok, &context)
    }

    /// The item, unless its time is over: then its memory comes back.
    private static func find(_ key: HashedKey, _ context: inout WorkerContext) -> Item? {
        guard let item = context.session.findEvenDead(key) else { return nil }
        guard context.session.isDead(item, now: context.now) else { return item }
        context.counters.add(.getExpired)
        context.session.removeDead(key, now: context.now)
        return nil
    }
}
