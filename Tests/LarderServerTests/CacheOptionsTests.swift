import Foundation
import Testing

@testable import LarderServer

private func parsed(_ arguments: [String]) throws -> Settings {
    guard case .serve(let settings, _) = parseCommandLine(arguments) else {
        throw Refused(text: refusal(arguments))
    }
    return settings
}

private struct Refused: Error { var text: String }

private func cache(_ text: String) throws -> CacheSettings {
    try #require(try parsed(["--cache", text]).caches.first)
}

private func refusal(_ arguments: [String]) -> String {
    guard case .end(let ending) = parseCommandLine(arguments), ending.exitCode != 0 else { return "" }
    return ending.text
}

private func warnings(_ arguments: [String]) -> [String] {
    guard case .serve(_, let warnings) = parseCommandLine(arguments) else { return ["refused"] }
    return warnings
}

@Suite struct CacheOptionsTests {
    @Test func defaultsAreThoseOfUWSGI() throws {
        let settings = try cache("name=x,items=100")
        #expect(settings.itemsMax == 100 && settings.blocks == 100 && settings.blockBytes == 65_536)
        #expect(!settings.isBitmap && settings.valueBytesMax == 65_536 && settings.keyBytesMax == 2048)
        #expect(settings.hashName == "djb33x" && settings.hashSize == 65_536)
        #expect(settings.storePath == nil && settings.storeSyncSeconds == 0 && !settings.deletesWrongStore)
        #expect(!settings.purgesLeastRecentlyUsed && !settings.ignoresFull && !settings.clearsOnFull)
        #expect(settings.sweepOnFullSeconds == 0 && !settings.keepsExpired && !settings.notesLastModified)
        #expect(settings.mathInitial == nil && settings.places.isEmpty && !settings.isStrict)
        #expect(settings.buckets == 60 && settings.bucketIntervalSeconds == 15)
    }

    /// Every key and every alias, one at a time: the line, and what it must change.
    @Test func numbers() throws {
        let table: [(String, KeyPath<CacheSettings, Int>, Int)] = [
            ("max_items=7", \CacheSettings.itemsMax, 7), ("maxitems=7", \.itemsMax, 7), ("max-items=7", \.itemsMax, 7),
            ("items=7,strict_items=1", \.itemsMax, 6), ("items=7,blocksize=1k", \.blockBytes, 1024),
            ("items=7,blocksize=2M", \.blockBytes, 2 << 20), ("items=7,blocksize=1g", \.blockBytes, 1 << 30),
            ("items=7,blocks=9", \.blocks, 9), ("items=7,hashsize=11", \.hashSize, 11),
            ("items=7,hash_size=11", \.hashSize, 11), ("items=7,keysize=20", \.keyBytesMax, 20),
            ("items=7,key_size=20", \.keyBytesMax, 20), ("items=7,store_sync=3", \.storeSyncSeconds, 3),
            ("items=7,storesync=3", \.storeSyncSeconds, 3), ("items=7,sweep_on_full=5", \.sweepOnFullSeconds, 5),
            ("items=7,buckets=100", \.buckets, 100), ("items=7,bucket_interval=2", \.bucketIntervalSeconds, 2),
            ("items=7,max_item_size=1000", \.valueBytesMax, 1000),
            ("items=7,blocksize=64,bitmap=1", \.valueBytesMax, 448),
            ("items=7,blocksize=64,blocks=10,bitmap=1", \.valueBytesMax, 640),
            ("items=7,blocksize=64,blocks=10", \.valueBytesMax, 64),
            ("items=7,blocksize=1g,blocks=10,bitmap", \.valueBytesMax, 1 << 30),
        ]
        for (line, key, expected) in table {
            #expect(try cache("name=x,\(line)")[keyPath: key] == expected, "\(line)")
        }
    }

    @Test func switches() throws {
        let table: [(String, KeyPath<CacheSettings, Bool>)] = [
            ("bitmap", \CacheSettings.isBitmap), ("purge_lru", \.purgesLeastRecentlyUsed),
            ("lru", \.purgesLeastRecentlyUsed), ("lazy", \.isLazy), ("lazy_expire", \.isLazy),
            ("ignore_full", \.ignoresFull), ("clear_on_full", \.clearsOnFull), ("no_expire", \.keepsExpired),
            ("lastmod", \.notesLastModified), ("store_delete", \.deletesWrongStore),
            ("storedelete", \.deletesWrongStore), ("strict_items", \.isStrict), ("shrink", \.shrinks),
        ]
        for (key, path) in table {
            for on in [key, "\(key)=1", "\(key)=true", "\(key)=TRUE", "\(key)=on", "\(key)=yes"] {
                #expect(try cache("name=x,items=9,\(on)")[keyPath: path], "\(on)")
            }
            // uWSGI would switch it on.
            for off in ["\(key)=0", "\(key)=false", "\(key)=off", "\(key)=no"] {
                #expect(try !cache("name=x,items=9,\(off)")[keyPath: path], "\(off)")
            }
            let answer = "cache \"x\": \(key) takes 1 or 0, true or false, or nothing, which is 1, not \"maybe\".\n"
            #expect(refusal(["--cache", "name=x,items=9,\(key)=maybe"]) == answer)
        }
    }

    @Test func textsAndEscapes() throws {
        #expect(try cache("name=x,items=1,store=/tmp/a\\,b\\=c\\\\d").storePath == "/tmp/a,b=c\\d")
        #expect(try cache("name=x,items=1,store=/tmp/a=b").storePath == "/tmp/a=b")
        #expect(try cache("items=1,,name=x,").name == "x")
        #expect(try cache("name=a\\,b,items=1").name == "a,b")
        for name in ["djb33x", "murmur2", "random", "rand", "rr"] {
            #expect(try cache("name=x,items=1,hash=\(name)").hashName == name)
        }
        #expect(try cache("name=x,items=1,math_initial=100").mathInitial == 100)
        #expect(try cache("name=x,items=1,math_initial=18446744073709551615").mathInitial == UInt64.max)
    }

    @Test func places() throws {
        let settings = try cache(
            "name=x,items=1,listen=:11212;11213;10.0.0.5:1;[::1]:2;host.example:3;/run/a.sock;unix:b\\;c;*:0")
        #expect(
            settings.places == [
                .tcp(host: nil, port: 11212), .tcp(host: nil, port: 11213), .tcp(host: "10.0.0.5", port: 1),
                .tcp(host: "::1", port: 2), .tcp(host: "host.example", port: 3), .unix(path: "/run/a.sock"),
                .unix(path: "b;c"), .tcp(host: "*", port: 0),
            ])
        #expect(try cache("name=x,items=1,listen=:1,listen=:2").places.count == 2)
    }

    /// A wrong value names cache, key and what is allowed, in one line.
    @Test(arguments: [
        ("items=0", "items takes a whole number from 1 to 4294967295, not \"0\"."),
        ("items=-1", "items takes a whole number from 1 to 4294967295, not \"-1\"."),
        ("items=10k", "items takes a whole number from 1 to 4294967295, not \"10k\"."),
        ("items=4294967296", "items takes a whole number from 1 to 4294967295, not \"4294967296\"."),
        ("items", "items needs a value: a whole number from 1 to 4294967295."),
        ("maxitems=x", "maxitems takes a whole number from 1 to 4294967295, not \"x\"."),
        (
            "items=9,blocksize=0",
            "blocksize takes a size from 1 to 1073741824 bytes, with k, m or g if you like, not \"0\"."
        ),
        (
            "items=9,blocksize=1t",
            "blocksize takes a size from 1 to 1073741824 bytes, with k, m or g if you like, not \"1t\"."
        ),
        (
            "items=9,blocksize=9999999999999999999g",
            "blocksize takes a size from 1 to 1073741824 bytes, with k, m or g if you like, not \"9999999999999999999g\"."
        ),
        ("items=9,blocks=0", "blocks takes a whole number from 1 to 4294967295, not \"0\"."),
        ("items=9,blocks=8", "blocks takes a whole number from 9 (items) up, not \"8\"."),
        ("items=9,hash=md5", "hash takes djb33x, murmur2, random, rand or rr, not \"md5\"."),
        ("items=9,hashsize=0", "hashsize takes a whole number from 1 to 4294967295, not \"0\"."),
        ("items=9,keysize=0", "keysize takes a size from 1 to 65535 bytes, with k, m or g if you like, not \"0\"."),
        (
            "items=9,keysize=65536",
            "keysize takes a size from 1 to 65535 bytes, with k, m or g if you like, not \"65536\"."
        ),
        ("items=9,store=", "store takes the path of a file, not \"\"."),
        ("items=9,store_sync=x", "store_sync takes a whole number from 0 to 86400, not \"x\"."),
        ("items=9,sweep_on_full=-1", "sweep_on_full takes a whole number from 0 to 86400, not \"-1\"."),
        ("items=9,math_initial=-1", "math_initial takes a whole number from 0 to 18446744073709551615, not \"-1\"."),
        (
            "items=9,listen=",
            "listen takes ports (:11212), addresses (10.0.0.5:11212) and socket files (/run/a.sock), with ; between, not \"\"."
        ),
        (
            "items=9,listen=:65536",
            "listen takes ports (:11212), addresses (10.0.0.5:11212) and socket files (/run/a.sock), with ; between, not \":65536\"."
        ),
        (
            "items=9,listen=host",
            "listen takes ports (:11212), addresses (10.0.0.5:11212) and socket files (/run/a.sock), with ; between, not \"host\"."
        ),
        (
            "items=9,listen=::1",
            "listen takes ports (:11212), addresses (10.0.0.5:11212) and socket files (/run/a.sock), with ; between, not \"::1\"."
        ),
        ("items=9,buckets=3", "buckets takes a whole number from 4 to 1024, not \"3\"."),
        ("items=9,bucket_interval=0", "bucket_interval takes a whole number from 1 to 86400, not \"0\"."),
        (
            "items=9,max_item_size=65537",
            "max_item_size takes at most 65536 (blocksize, since bitmap is off), not \"65537\"."
        ),
        (
            "items=9,bitmap=1,blocksize=10,max_item_size=91",
            "max_item_size takes at most 90 (blocksize x blocks), not \"91\"."
        ),
        ("items=1,strict_items=1", "strict_items=1 holds one item less than items, which takes 2 or more, not \"1\"."),
        ("items=9,items=9", "items is given twice, and takes a whole number from 1 to 4294967295."),
        ("items=9,maxitems=9", "items is given twice, and takes a whole number from 1 to 4294967295."),
        ("blocksize=64", "items is missing: give items= and a whole number from 1 to 4294967295."),
    ])
    func wrongValues(line: String, sentence: String) {
        #expect(refusal(["--cache", "name=x,\(line)"]) == "cache \"x\": \(sentence)\n")
    }

    @Test(arguments: ["name=", "name=a b", "name=a/b", "name=a@b", "name=\u{1}"])
    func names(line: String) {
        #expect(refusal(["--cache", "\(line),items=1"]).contains(": name takes 1 to 64 printable characters"))
    }

    @Test func whatIsMissingOrTwice() {
        #expect(refusal(["--cache", "items=1"]).contains("has no name: give it name="))
        #expect(
            refusal(["--cache", "name=x,items=4294967295,blocksize=1g"]).contains(
                "cache \"x\": blocks x blocksize takes at most 256 GB"))
        #expect(
            refusal(["--cache", "name=x,items=1", "--cache2", "name=x,items=2"])
                == "cache \"x\" is given twice: each cache needs a name of its own.\n")
    }

    @Test func unknownKeysAndTheNetwork() throws {
        let unknown = refusal(["--cache", "name=x,items=1,foo=1"])
        #expect(unknown.hasPrefix("cache \"x\": there is no key \"foo\"; there are name, items, blocksize, "))
        #expect(
            warnings(["--compat", "--key-route", "--cache", "name=x,items=1,foo=1"]) == [
                "cache \"x\": there is no key \"foo\", so it is passed over."
            ])
        // Wherever it stands.
        #expect(warnings(["--cache", "name=x,items=1,foo=1", "--compat", "--key-route"]).count == 1)
    }

    @Test func serversWhoseItemsItBeginsWith() throws {
        let settings = try cache("name=x,items=1,sync=10.0.0.1:9;/run/a.sock;a.example:11;10.0.0.1:9")
        #expect(settings.copiedPlaces.map(\.description) == ["10.0.0.1:9", "unix:/run/a.sock", "a.example:11"])
        for value in ["", "9", ":9", "10.0.0.1", "10.0.0.1:0"] {
            let refused = refusal(["--cache", "name=x,items=1,sync=\(value)"])
            #expect(refused.hasPrefix("cache \"x\": sync takes addresses"))
        }
    }

    @Test func addressesOfNodesAndUDP() throws {
        for key in ["node", "nodes"] {
            let settings = try cache("name=x,items=1,\(key)=10.0.0.1:9;[fe80::1]:10;a.example:11;10.0.0.1:9")
            #expect(settings.nodes.map(\.text) == ["10.0.0.1:9", "[fe80::1]:10", "a.example:11"])
            #expect(settings.udpAddresses.isEmpty)
        }
        for key in ["udp", "udp_server", "udp_servers", "udpserver", "udpservers"] {
            let settings = try cache("name=x,items=1,\(key)=:9;127.0.0.1:10;11")
            #expect(settings.udpAddresses.map(\.text) == [":9", "127.0.0.1:10", ":11"])
            #expect(settings.nodes.isEmpty)
        }
        for field in [
            "node=", "node=10.0.0.1", "node=:9", "node=9", "node=10.0.0.1:0", "node=/run/a", "node=10.0.0.1:9;",
        ] {
            #expect(
                refusal(["--cache", "name=x,items=1,\(field)"]).hasPrefix("cache \"x\": node takes addresses"),
                "\(field)")
        }
        for field in ["udp=", "udp=10.0.0.1", "udp=:65536", "udp=unix:a"] {
            #expect(
                refusal(["--cache", "name=x,items=1,\(field)"]).hasPrefix("cache \"x\": udp takes ports"), "\(field)")
        }
        #expect(
            refusal(["--cache", "name=x,items=1,node=10.0.0.1:9,nodes=10.0.0.2:9"]).hasPrefix(
                "cache \"x\": nodes is given twice"))
        #expect(refusal(["--cache", "name=default,udp=:9"]).hasPrefix("cache \"default\": udp needs items="))
        #expect(
            refusal(["-Y", "users", "--cache", "name=x,items=1,udp=:9"]).hasPrefix(
                "cache \"x\": udp does not go with -Y"))
    }

    @Test func whatNobodyCanReachIsSaid() {
        #expect(
            warnings(["--cache", "name=x,items=1"]) == [
                "cache \"x\" is out of reach: give it listen=:PORT, or the server --key-route or --uwsgi."
            ])
        #expect(warnings(["--cache", "name=x,items=1", "--key-route"]).isEmpty)
        #expect(warnings(["--cache", "name=x,items=1,listen=:0"]).isEmpty)
        #expect(warnings(["--cache", "name=default,items=1"]).isEmpty)
    }

    @Test func theMainPortsCache() throws {
        let both = try parsed(["--cache", "name=a,items=5,listen=:0", "--cache", "name=default,items=7"])
        #expect(both.orderedCaches.map(\.name) == ["default", "a"])
        #expect(both.orderedCaches[0].itemsMax == 7)
        let one = try parsed(["--cache", "name=a,items=5,listen=:0"])
        #expect(one.orderedCaches.map(\.isMemcachedShaped) == [true, false])
        let timed = try parsed(["--cache", "name=default,bucket_interval=1,listen=:0"]).orderedCaches[0]
        #expect(timed.isMemcachedShaped && timed.bucketIntervalSeconds == 1)
        #expect(
            refusal(["--cache", "name=default,lru"])
                == "cache \"default\": purge_lru needs items= beside it; without items this is memcached's kind of "
                + "cache, which -m limits.\n")
        // Named caches alone are something to listen on.
        #expect(try parsed(["-p", "0", "--cache", "name=a,items=5,listen=:0"]).tcpPort == 0)
    }

    /// Whatever is said, the arena is within bounds and large enough for what it promises.
    @Test func arenasHoldWhatIsPromised() throws {
        for items in [1, 2, 9, 1000, 100_000, 1_000_000] {
            for blockBytes in [1, 64, 4096, 65_536, 1 << 20] {
                for isBitmap in [true, false] where items * blockBytes < 70 << 30 {
                    let settings = try cache("name=x,items=\(items),blocksize=\(blockBytes),bitmap=\(isBitmap)")
                    var usual = 0
                    for keyBytes in [250, 2048, 65_535] {
                        let arena = StoreSize.arena(settings, keyBytes: keyBytes, sessions: 4)
                        let promised = items * (blockBytes + keyBytes + 40) + settings.valueBytesMax
                        if keyBytes == 250 { usual = arena.bytes }
                        // Longer keys do not make the store's blocks larger.
                        #expect(arena.bytes > min(promised, (1 << 35) - 1))
                        #expect(usual > 1 << 35 || arena.bytes <= 1 << 35)
                        #expect(arena.bytes <= 1 << 38 && arena.bytes / arena.slabBytes >= 36)
                        #expect(arena.slabBytes & (arena.slabBytes - 1) == 0)
                        if !isBitmap { #expect(arena.slabBytes >= 2 * (blockBytes + 290)) }
                    }
                }
            }
        }
    }

    /// The page about them has every name.
    @Test func theDocumentationNamesEveryKey() throws {
        let root = #filePath.components(separatedBy: "/Tests/")[0]
        let page = try String(contentsOfFile: root + "/docs/named-caches.md", encoding: .utf8)
        for name in CacheKey.all.flatMap(\.names) { #expect(page.contains("`\(name)`"), "\(name)") }
    }
}
