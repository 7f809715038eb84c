import LarderWire
import Testing

@Suite struct TextAdministrationTests {
    @Test(
        arguments: [
            ("slabs", .unknownCommand),
            ("slabs reassign 1 2", .slabReassignDisabled),
            ("slabs reassign 1", .unknownCommand),
            ("slabs reassign 1 2 3", .unknownCommand),
            ("slabs automove", .unknownCommand),
            ("slabs automove 0", .ok),
            ("slabs automove 2", .ok),
            ("slabs automove 3", .unknownCommand),
            ("slabs automove x", .badCommandLine),
            ("slabs automove ratio 0.5", .ok),
            ("slabs automove freeratio", .unknownCommand),
            ("slabs automove window 10", .ok),
            ("slabs automove window 2", .automoveWindowOutOfRange),
            ("slabs automove window x", .badCommandLine),
            ("lru mode flat", .unknownCommand),
            ("lru_crawler", .unknownCommand),
            ("lru_crawler enable", .crawlerNotStarted),
            ("lru_crawler disable", .ok),
            ("lru_crawler x", .unknownCommand),
            ("lru_crawler crawl 1", .crawlerDisabled),
            ("lru_crawler metadump all", .crawlerDisabled),
            ("lru_crawler mgdump hash", .crawlerDisabled),
            ("lru_crawler tocrawl 100", .ok),
            ("lru_crawler tocrawl x", .badCommandLine),
            ("lru_crawler sleep 1000000", .ok),
            ("lru_crawler sleep 1000001", .crawlerSleepTooLong),
            ("lru_crawler sleep 1 2", .unknownCommand),
            ("cache_memlimit", .unknownCommand),
            ("cache_memlimit x", .unknownCommand),
            ("cache_memlimit 7", .memoryLimitTooSmall),
            ("cache_memlimit 64", .memoryLimitNotAdjustable),
            ("cache_memlimit 1000000001", .memoryLimitNotMegabytes),
            ("watch fetchers", .watchNotAllowed),
            ("extstore item_size 1", .unknownCommand),
            ("refresh_certs", .unknownCommand),
        ] as [(String, Reply)])
    func answers(line: String, reply: Reply) {
        let bytes = Array(line.utf8)
        #expect(TextAdministration.reply(to: bytes, length: bytes.count) == reply)
    }
}
