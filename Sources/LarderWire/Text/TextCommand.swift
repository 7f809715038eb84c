import Glibc

/// The commands of the classic text protocol by name.
enum TextCommand: UInt8 {
    case get, gets, gat, gats
    case set, add, replace, append, prepend, cas
    case delete, incr, decr, touch
    case mg, ms, md, ma, mn, me
    case version, quit, stats, watch
    case flushAll, verbosity, shutdown
    /// `slabs`, `lru`, `lru_crawler`, `cache_memlimit`, `extstore`, `refresh_certs`.
    case machinery
    case unknown

    /// The command called `name`, in lower case and to the letter.
    init(name: UnsafePointer<UInt8>, length: Int) {
        // SAFETY: only name[0..<length] is read, which the caller holds.
        if length <= 8 {
            self = Self.short(name, length)
        } else {
            self = Self.long(name, length)
        }
    }

    /// memcached looks these up after all others, in the first word of the line; the others
    /// must begin the line. So `" flush_all"` flushes, while `" get k"` does not exist.
    var mayFollowSpaces: Bool {
        switch self {
        case .flushAll, .verbosity, .shutdown, .machinery: true
        default: false
        }
    }

    /// Names of at most eight bytes are compared as one number, first byte lowest.
    private static func short(_ name: UnsafePointer<UInt8>, _ length: Int) -> TextCommand {
        // "get" and "get\0" make the same number: no name ends in a NUL.
        if length > 0, name[length - 1] == 0 { return .unknown }
        var word: UInt64 = 0
        var index = 0
        while index < length {
            word |= UInt64(name[index]) &<< UInt64(index &* 8)
            index &+= 1
        }
        switch word {
        case 0x74_65_67: return .get
        case 0x73_74_65_67: return .gets
        case 0x74_61_67: return .gat
        case 0x73_74_61_67: return .gats
        case 0x74_65_73: return .set
        case 0x64_64_61: return .add
        case 0x65_63_61_6c_70_65_72: return .replace
        case 0x64_6e_65_70_70_61: return .append
        case 0x64_6e_65_70_65_72_70: return .prepend
        case 0x73_61_63: return .cas
        case 0x67_6d: return .mg
        case 0x73_6d: return .ms
        case 0x64_6d: return .md
        case 0x61_6d: return .ma
        case 0x6e_6d: return .mn
        case 0x65_6d: return .me
        case 0x65_74_65_6c_65_64: return .delete
        case 0x72_63_6e_69: return .incr
        case 0x72_63_65_64: return .decr
        case 0x68_63_75_6f_74: return .touch
        case 0x6e_6f_69_73_72_65_76: return .version
        case 0x74_69_75_71: return .quit
        case 0x73_74_61_74_73: return .stats
        case 0x68_63_74_61_77: return .watch
        case 0x6e_77_6f_64_74_75_68_73: return .shutdown
        case 0x73_62_61_6c_73, 0x75_72_6c, 0x65_72_6f_74_73_74_78_65: return .machinery
        default: return .unknown
        }
    }

    private static func long(_ name: UnsafePointer<UInt8>, _ length: Int) -> TextCommand {
        if equals(name, length, "flush_all") { return .flushAll }
        if equals(name, length, "verbosity") { return .verbosity }
        if equals(name, length, "lru_crawler") { return .machinery }
        if equals(name, length, "cache_memlimit") { return .machinery }
        if equals(name, length, "refresh_certs") { return .machinery }
        if equals(name, length, "debugtime") { return .machinery }
        return .unknown
    }

    private static func equals(_ name: UnsafePointer<UInt8>, _ length: Int, _ text: StaticString) -> Bool {
        length == text.utf8CodeUnitCount && memcmp(name, text.utf8Start, length) == 0
    }
}
