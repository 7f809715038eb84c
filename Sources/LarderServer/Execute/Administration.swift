import LarderStore
import LarderTLS
import LarderWire
import Synchronization

/// Commands about the server's machinery: a line for each.
extension Execute {
    static func administer(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ line: UnsafePointer<UInt8>
    ) {
        let state = context.state
        let reply: Reply?
        switch TextAdministration.command(in: line, length: request.keyLength) {
        case .answered(let settled): reply = settled
        case .setCrawler(let isEnabled): reply = setCrawler(state.caches[context.cacheNumber].crawler, isEnabled)
        case .setCrawlerSleep(let microseconds): reply = tune(state) { $0.crawlerSleepMicroseconds = microseconds }
        case .setCrawlerLimit(let items): reply = tune(state) { $0.crawlerItemsMax = items }
        case .crawl(let classes): reply = crawl(&context, classes)
        case .dumpKeys(let form, let classes): reply = dumpKeys(&connection, context, form, classes)
        case .scanKeys(let cursor, let keysMax, let prefix):
            let page = KeyPage(from: cursor, prefix: prefix, keysMax: Int(keysMax))
            reply = beginDump(&connection, context, .metadump, KeyScan(page))
        case .setMemoryLimit(let megabytes): reply = setMemoryLimit(context, megabytes: Int(megabytes))
        case .tuneEviction(let hot, let warm, let hotFactor, let warmFactor):
            reply = tune(state) {
                $0.hotPercent = hot
                $0.warmPercent = warm
                $0.hotFactor = hotFactor
                $0.warmFactor = warmFactor
            }
        case .reassignSlab(let answer): reply = state.settings.showsSlabMover ? answer : .slabReassignDisabled
        case .setAutomove(let setting): reply = setAutomove(state, setting)
        case .moveClock(let move): reply = moveClock(state, move)
        case .watch(let streams): reply = watch(&connection, &context, streams)
        case .refreshCertificates:
            if let refusal = refreshCertificates(state) {
                reply = nil
                if !request.options.noReply { connection.write(refusal + "\r\n", &context) }
            } else {
                reply = .ok
            }
        }
        if let reply, !request.options.noReply { connection.reply(reply, &context) }
    }

    /// nil, or what is wrong: a line of its own, as in memcached.
    private static func refreshCertificates(_ state: ServerState) -> String? {
        guard let tls = state.access.tls else { return "Error TLS not enabled" }
        do throws(TLSError) {
            try tls.refresh()
            return nil
        } catch {
            return error.message
        }
    }

    private static func tune(_ state: ServerState, _ change: (inout TunableSettings) -> Void) -> Reply {
        state.tunables.withLock { change(&$0) }
        return .ok
    }

    /// The arena is reserved at the start, so the limit may be -m or less.
    private static func setMemoryLimit(_ context: borrowing WorkerContext, megabytes: Int) -> Reply {
        let bytes = megabytes << 20
        guard context.session.limitMemory(bytes: bytes, now: context.now) else { return .memoryLimitNotAdjustable }
        context.state.caches[context.cacheNumber].noteLimit(bytes: bytes)
        if context.verbosity > 0 { StandardError.write("maxbytes adjusted to \(megabytes)m") }
        return .ok
    }

    private static func setAutomove(_ state: ServerState, _ setting: Administration.Automove) -> Reply {
        tune(state) { tunables in
            switch setting {
            case .level(let level): tunables.automoveLevel = level
            case .ratio(let ratio): tunables.automoveRatio = ratio
            case .freeRatio(let ratio): tunables.automoveFreeRatio = ratio
            case .window(let window): tunables.automoveWindow = window
            }
        }
    }

    /// Only for memcached's own tests, which would wait for seconds otherwise.
    private static func moveClock(_ state: ServerState, _ move: Administration.ClockMove) -> Reply {
        guard let shift = state.clockShift else { return .unknownCommand }
        switch move {
        case .by(let seconds): shift.move(milliseconds: seconds * 1000)
        case .pause: shift.pause(at: state.clock.now())
        case .resume: shift.resume()
        }
        return .ok
    }

    // MARK: Crawls and dumps

    private static func setCrawler(_ crawler: Crawler, _ isEnabled: Bool) -> Reply {
        let isChanged = crawler.setEnabled(isEnabled)
        // What runs already cannot be started; what stands can be stopped again, as in memcached.
        return isChanged || !isEnabled ? .ok : .crawlerNotStarted
    }

    private static func crawl(_ context: inout WorkerContext, _ classes: ClassList) -> Reply {
        let state = context.state
        let crawler = state.caches[context.cacheNumber].crawler
        guard crawler.isEnabled else { return .crawlerDisabled }
        guard classes != .invalid else { return .badSlabClass }
        guard context.crawl == nil, crawler.begin() else { return .crawlerBusy }
        guard classes == .everything else {
            crawler.end()
            return .ok
        }
        let itemsMax = state.tunables.withLock { $0.crawlerItemsMax }
        context.crawl = Crawl(cache: context.cacheNumber, itemsMax: Int(itemsMax))
        context.continueCrawl()
        return .ok
    }

    private static func dumpKeys(
        _ connection: inout Connection, _ context: borrowing WorkerContext, _ form: KeyDumpForm,
        _ classes: ClassList
    ) -> Reply? {
        beginDump(
            &connection, context, form, classes == .invalid ? nil : KeyDump(form, isEmpty: classes == .nothing))
    }

    /// - Parameter dump: nil: the command names a class that cannot be.
    private static func beginDump(
        _ connection: inout Connection, _ context: borrowing WorkerContext, _ form: KeyDumpForm, _ dump: AnswerStream?
    ) -> Reply? {
        let state = context.state
        guard state.caches[context.cacheNumber].crawler.isEnabled else { return .crawlerDisabled }
        guard state.settings.dumpEnabled else {
            return form == .mgdump ? .mgdumpNotAllowed : .metadumpNotAllowed
        }
        guard connection.hasNothingPipelined else {
            return form == .mgdump ? .mgdumpNotFirst : .metadumpNotFirst
        }
        guard let dump else { return .badSlabClass }
        connection.begin(dump)
        return nil
    }

    // MARK: Watchers

    private static func watch(
        _ connection: inout Connection, _ context: inout WorkerContext, _ streams: WatchedStreams?
    ) -> Reply? {
        let state = context.state
        guard state.settings.watchEnabled else { return .watchNotAllowed }
        guard connection.hasNothingPipelined else { return .watchNotFirst }
        guard let streams else { return .unknownCommand }
        let mailbox = Mailbox(streams, bytesMax: state.settings.watcherBufferBytes, waker: context.waker)
        guard state.watchers.add(mailbox) else { return .tooManyWatchers }
        context.noteWatchers()
        connection.begin(Watching(mailbox))
        return .ok
    }
}
