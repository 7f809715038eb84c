internal import CLarderWire
import Glibc

/// Writes replies in the bytes of the text protocol.
///
/// Every function writes at `out`, where the caller has made the room that the function
/// names, and returns the number of bytes written. Some store up to eight bytes more than
/// they return, always within that room.
package enum TextEncoder {
    /// Room for any `Reply`, an `END` or a number.
    @inlinable @inline(__always)
    package static var replyLengthMax: Int { 128 }

    /// Room for a value header: a key of 250 bytes, and the rest.
    @inlinable @inline(__always)
    package static var valueHeaderLengthMax: Int { 250 + 80 }

    /// The line that spells `reply`, its `\r\n` included.
    package static func bytes(of reply: Reply) -> StaticString {
        switch reply {
        case .stored: "STORED\r\n"
        case .notStored: "NOT_STORED\r\n"
        case .exists: "EXISTS\r\n"
        case .notFound: "NOT_FOUND\r\n"
        case .deleted: "DELETED\r\n"
        case .touched: "TOUCHED\r\n"
        case .ok: "OK\r\n"
        case .reset: "RESET\r\n"
        case .noOperation: "MN\r\n"
        case .unknownCommand, .noSuchStatistics: "ERROR\r\n"
        case .badCommandLine: "CLIENT_ERROR bad command line format\r\n"
        case .badDataChunk: "CLIENT_ERROR bad data chunk\r\n"
        case .invalidExptime: "CLIENT_ERROR invalid exptime argument\r\n"
        case .invalidDelta: "CLIENT_ERROR invalid numeric delta argument\r\n"
        case .nonNumericValue: "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
        case .flushNotAllowed: "CLIENT_ERROR flush_all not allowed\r\n"
        case .tooLarge: "SERVER_ERROR object too large for cache\r\n"
        case .outOfMemoryStoring: "SERVER_ERROR out of memory storing object\r\n"
        case .outOfMemory: "SERVER_ERROR out of memory\r\n"
        case .logUnavailable, .writeOutcomeUnknown, .writeNotApplied, .tooManyConflicts, .hasNoExpiry, .notReplicated:
            bytes(ofReplicatedCache: reply)
        case .unauthenticated, .badLoginFormat, .badLoginTermination, .loginTooLong: bytes(ofLogin: reply)
        case .authenticationFailure: "CLIENT_ERROR authentication failure\r\n"
        case .tooManyConnections: "ERROR Too many open connections\r\n"
        case .shutdownNotEnabled: "SERVER_ERROR: shutdown not enabled\r\n"
        case .invalidShutdownMode: "CLIENT_ERROR invalid shutdown mode\r\n"
        case .invalidFlag: "CLIENT_ERROR invalid flag\r\n"
        case .duplicateFlag: "CLIENT_ERROR duplicate flag\r\n"
        case .invalidOrDuplicateFlag: "CLIENT_ERROR invalid or duplicate flag\r\n"
        case .tooManyFlags: "CLIENT_ERROR options flags are too long\r\n"
        case .badToken: "CLIENT_ERROR bad token in command line format\r\n"
        case .invalidDeltaValue: "CLIENT_ERROR invalid numeric delta value\r\n"
        case .invalidInitialValue: "CLIENT_ERROR invalid numeric initial value\r\n"
        case .opaqueTooLong: "CLIENT_ERROR opaque token too long\r\n"
        case .badBase64Key: "CLIENT_ERROR error decoding key\r\n"
        case .invalidStoreMode: "CLIENT_ERROR invalid mode for ms M token\r\n"
        case .invalidArithmeticMode: "CLIENT_ERROR invalid mode for ma M token\r\n"
        case .outOfMemoryCreating: "SERVER_ERROR Out of memory allocating new item\r\n"
        case .tooFewArguments: "CLIENT_ERROR bad command line\r\n"
        case .detailUsage: "CLIENT_ERROR usage: stats detail on|off|dump\r\n"
        case .detailNotAllowed: "CLIENT_ERROR stats detail not allowed\r\n"
        case .cachedumpNotAllowed: "CLIENT_ERROR stats cachedump not allowed\r\n"
        case .illegalSlabClass: "CLIENT_ERROR Illegal slab id\r\n"
        case .slabReassignDisabled: "CLIENT_ERROR slab reassignment disabled\r\n"
        case .noSparePages: "NOSPARE source class has no spare pages\r\n"
        case .sameSlabClass: "SAME src and dst class are identical\r\n"
        case .badReassignClass: "BADCLASS invalid src or dst class id\r\n"
        case .automoveWindowOutOfRange: "CLIENT_ERROR automove window too low or too high\r\n"
        case .crawlerDisabled: "CLIENT_ERROR lru crawler disabled\r\n"
        case .crawlerNotStarted: "ERROR failed to start lru crawler thread\r\n"
        case .crawlerSleepTooLong: "CLIENT_ERROR sleep must be one second or less\r\n"
        case .memoryLimitTooSmall: "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\n"
        case .memoryLimitNotMegabytes: "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes\r\n"
        case .memoryLimitNotAdjustable: "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust\r\n"
        case .watchNotAllowed: "CLIENT_ERROR watch commands not allowed\r\n"
        case .watchNotFirst: "ERROR cannot pipeline other commands before watch\r\n"
        case .tooManyWatchers: "WATCHER_TOO_MANY log watcher limit reached\r\n"
        case .metadumpNotAllowed: "ERROR metadump not allowed\r\n"
        case .mgdumpNotAllowed: "ERROR key dump not allowed\r\n"
        case .metadumpNotFirst: "ERROR cannot pipeline other commands before metadump\r\n"
        case .mgdumpNotFirst: "ERROR cannot pipeline other commands before mgdump\r\n"
        case .crawlerBusy: "BUSY currently processing crawler request\r\n"
        case .badSlabClass: "BADCLASS invalid class id\r\n"
        case .lruSharesTooLarge: "ERROR hot and warm pcts must not exceed 80\r\n"
        case .lruFactorsNotPositive: "ERROR hot/warm age factors must be greater than 0\r\n"
        }
    }

    /// Replies of replicated caches.
    private static func bytes(ofReplicatedCache reply: Reply) -> StaticString {
        switch reply {
        case .logUnavailable: "SERVER_ERROR the log of this cache cannot be used: nothing was written\r\n"
        case .writeOutcomeUnknown: "SERVER_ERROR the log may or may not have this change: repeat it\r\n"
        case .writeNotApplied: "SERVER_ERROR the change is durable, and not applied here yet\r\n"
        case .tooManyConflicts: "SERVER_ERROR other servers change this key too often: nothing was written\r\n"
        case .hasNoExpiry: "CLIENT_ERROR items of a replicated cache do not expire\r\n"
        case .notReplicated: "CLIENT_ERROR a replicated cache does not have this command\r\n"
        default: "ERROR\r\n"
        }
    }

    /// Replies to a client that logs in by text.
    private static func bytes(ofLogin reply: Reply) -> StaticString {
        switch reply {
        case .unauthenticated: "CLIENT_ERROR unauthenticated\r\n"
        case .badLoginFormat: "CLIENT_ERROR bad authentication token format\r\n"
        case .badLoginTermination: "CLIENT_ERROR bad command line termination\r\n"
        case .loginTooLong: "CLIENT_ERROR auth token too long\r\n"
        default: "ERROR\r\n"
        }
    }

    /// Writes `reply`; `out` has room for `replyLengthMax` bytes.
    package static func encode(_ reply: Reply, at out: UnsafeMutablePointer<UInt8>) -> Int {
        // `STORED` answers nearly every write, and is one word long.
        if reply == .stored { return encodeStored(at: out) }
        let text = bytes(of: reply)
        // SAFETY: the longest of the lines above is shorter than `replyLengthMax`, as a test checks.
        memcpy(out, text.utf8Start, text.utf8CodeUnitCount)
        return text.utf8CodeUnitCount
    }

    /// Writes `STORED`; `out` has room for `replyLengthMax` bytes.
    package static func encodeStored(at out: UnsafeMutablePointer<UInt8>) -> Int {
        store(0x0a_0d_44_45_52_4f_54_53, at: out)
        return 8
    }

    /// Writes `END`, which closes a retrieval or a list of statistics; `out` has room for
    /// `replyLengthMax` bytes.
    package static func encodeEnd(at out: UnsafeMutablePointer<UInt8>) -> Int {
        store(0x0a_0d_44_4e_45, at: out)
        return 5
    }

    /// Writes the answer to `incr` and `decr`; `out` has room for `replyLengthMax` bytes.
    package static func encodeNumber(_ value: UInt64, at out: UnsafeMutablePointer<UInt8>) -> Int {
        endLine(out, DecimalText.write(value, at: out))
    }

    /// Writes `VALUE <key> <flags> <bytes>[ <cas>]`; the value and a `\r\n` are to follow.
    ///
    /// - Parameters:
    ///   - keyLength: at most 250.
    ///   - cas: written when the request `wantsCas`.
    ///   - out: room for `valueHeaderLengthMax` bytes.
    package static func encodeValueHeader(
        key: UnsafePointer<UInt8>, keyLength: Int, clientFlags: UInt32, valueLength: Int, cas: UInt64?,
        at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: 6 bytes, 250 of key, three spaces, three numbers of at most 20 digits and a
        // line end make 321, below `valueHeaderLengthMax`.
        store(0x20_45_55_4c_41_56, at: out)
        memcpy(out + 6, key, keyLength)
        var length = 6 &+ keyLength
        out[length] = UInt8(ascii: " ")
        length &+= 1
        length &+= DecimalText.write(UInt64(clientFlags), at: out + length)
        out[length] = UInt8(ascii: " ")
        length &+= 1
        length &+= DecimalText.write(UInt64(truncatingIfNeeded: valueLength), at: out + length)
        if let cas {
            out[length] = UInt8(ascii: " ")
            length &+= 1
            length &+= DecimalText.write(cas, at: out + length)
        }
        return endLine(out, length)
    }

    /// Writes a whole value: its header, its bytes, its line end, and `END` behind the last of a retrieval.
    ///
    /// - Parameters:
    ///   - keyLength: at most 250.
    ///   - out: room for `valueLength` bytes and 320 more.
    package static func encodeValue(
        key: UnsafeRawPointer, keyLength: Int, clientFlags: UInt32, value: UnsafeRawPointer, valueLength: Int,
        isLast: Bool, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: 6 bytes, 250 of key, two numbers with a space before each (11 and 21), two line ends and
        // `END` make 297 beside the value; the words that are written reach 7 bytes further.
        store(0x20_45_55_4c_41_56, at: out)
        larder_copy_key(out + 6, key, keyLength)
        var place = out + (6 &+ keyLength)
        if clientFlags == 0 {
            // " 0 "
            UnsafeMutableRawPointer(place).storeBytes(of: UInt32(0x20_30_20).littleEndian, as: UInt32.self)
            place += 3
        } else {
            place[0] = UInt8(ascii: " ")
            place += 1 &+ DecimalText.writeFlags(clientFlags, at: place + 1)
            place[0] = UInt8(ascii: " ")
            place += 1
        }
        place += DecimalText.writeLine(valueLength, at: place) &+ 2
        // The end before the value, so that nothing is left to do behind the call.
        let end = place + valueLength
        // "\r\nEND\r\n"
        store(0x0a_0d_44_4e_45_0a_0d, at: end)
        let length = end - out &+ (isLast ? 7 : 2)
        memcpy(place, value, valueLength)
        return length
    }

    /// What `encodeStatistic` needs room for beside name and value.
    package static var statisticOverhead: Int { 16 }

    /// Writes `STAT <name> <value>`; `out` has room for both and `statisticOverhead` bytes.
    package static func encodeStatistic(
        name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, at out: UnsafeMutablePointer<UInt8>
    ) -> Int {
        // SAFETY: five bytes, the name, a space, the value and a line end.
        store(0x20_54_41_54_53, at: out)
        if let start = name.baseAddress { memcpy(out + 5, start, name.count) }
        let middle = 5 &+ name.count
        out[middle] = UInt8(ascii: " ")
        if let start = value.baseAddress { memcpy(out + middle + 1, start, value.count) }
        return endLine(out, middle &+ 1 &+ value.count)
    }

    /// Puts the line end behind `length` bytes and returns the new length.
    @inline(__always)
    private static func endLine(_ out: UnsafeMutablePointer<UInt8>, _ length: Int) -> Int {
        out[length] = UInt8(ascii: "\r")
        out[length &+ 1] = UInt8(ascii: "\n")
        return length &+ 2
    }

    /// Stores eight bytes, first byte lowest, whatever the alignment of `out`.
    @inline(__always)
    private static func store(_ word: UInt64, at out: UnsafeMutablePointer<UInt8>) {
        // SAFETY: every caller was promised room for at least `replyLengthMax` bytes.
        UnsafeMutableRawPointer(out).storeBytes(of: word.littleEndian, as: UInt64.self)
    }
}
