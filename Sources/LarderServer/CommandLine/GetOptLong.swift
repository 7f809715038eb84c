import CLarderSystem
import Glibc

/// What the command line holds, in its order, before anything is known of its meaning.
enum GetOptEvent: Equatable {
    case option(Character, String?)
    /// An option that cannot be: the sentence in getopt's own words, without the program's name.
    case wrong(String)
    /// Not an option and not the argument of one.
    case word(String)
}

/// libc's getopt_long over a whole command line: clusters (`-vvA`), `-m64`, `--memory-limit=64`,
/// abbreviations (`--mem 64`), `--` and options behind plain words, all as memcached has them.
func getOptLong(_ arguments: [String], options: [Option]) -> [GetOptEvent] {
    var letters = ""
    for option in options where option.hasLetter {
        letters.append(option.letter)
        if case .required = option.argument { letters.append(":") }
    }
    // SAFETY: getopt moves the pointers of argv about but writes to no string; `strings` and `names` own
    // the copies, which live until the events hold Swift strings.
    var argv: [UnsafeMutablePointer<CChar>?] = (["larder"] + arguments).map { strdup($0) }
    let strings = argv
    let longNames = options.filter { $0.hasMemcachedName || isSpelledOut($0, in: arguments) }
    let names = longNames.map { option in
        larder_getopt_name(
            name: strdup(option.longName ?? ""), argument: option.argument.getOptCode,
            letter: option.code)
    }
    argv.append(nil)
    defer {
        for string in strings { free(string) }
        for name in names { free(UnsafeMutablePointer(mutating: name.name)) }
    }

    var found: [larder_getopt_found] = []
    let firstWord = withUnsafeMutablePointer(to: &found) { context in
        larder_getopt_each(
            Int32(strings.count), &argv, letters, names, Int32(names.count), context,
            { context, one in
                // SAFETY: the context is `found`, and getopt calls back only while it runs.
                context?.assumingMemoryBound(to: [larder_getopt_found].self).pointee.append(one)
            })
    }
    let events = found.map { event($0, options: options, longNames: longNames.compactMap(\.longName)) }
    guard firstWord >= 0 else { return events + [.wrong("no memory to read the command line")] }
    return events + argv[Int(firstWord)..<strings.count].map { .word(String(cString: $0!)) }
}

private func isSpelledOut(_ option: Option, in arguments: [String]) -> Bool {
    guard let name = option.longName else { return false }
    return arguments.contains { $0 == "--\(name)" || $0.hasPrefix("--\(name)=") }
}

private func event(_ found: larder_getopt_found, options: [Option], longNames: [String]) -> GetOptEvent {
    let letter = character(found.letter)
    guard letter == "?" || letter == ":" else {
        return .option(letter, found.argument.map { String(cString: $0) })
    }
    let word = found.word.map { String(cString: $0) } ?? ""
    let meant = character(found.meant)
    let option = options.first { $0.letter == meant }
    let longName = option?.longName ?? ""
    if letter == ":" {
        return .wrong(
            word.hasPrefix("--")
                ? "option '--\(longName)' requires an argument" : "option requires an argument -- '\(meant)'")
    }
    if found.meant == 0 { return .wrong(unknownLongName(word, longNames)) }
    // A known letter comes back as wrong only when its long name was given an argument.
    return .wrong(
        option == nil ? "invalid option -- '\(meant)'" : "option '--\(longName)' doesn't allow an argument")
}

private func character(_ code: Int32) -> Character {
    Character(UnicodeScalar(UInt32(truncatingIfNeeded: code)) ?? "?")
}

private func unknownLongName(_ word: String, _ longNames: [String]) -> String {
    let name = word.dropFirst(2).prefix { $0 != "=" }
    let candidates = longNames.filter { $0.hasPrefix(name) }
    guard candidates.count > 1 else { return "unrecognized option '\(word)'" }
    let list = candidates.map { "'--\($0)'" }.joined(separator: " ")
    return "option '\(word)' is ambiguous; possibilities: \(list)"
}
