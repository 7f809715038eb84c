/// The result of reading a file of settings.
package enum ConfigurationContents: Sendable {
    case bytes([UInt8], isWritableByAll: Bool)
    /// Why it could not be read.
    case failed(String)
}

/// The file of `--config`. A line has the long name of an option, or options as on the command line. So Debian's
/// /etc/memcached.conf can be read.
enum ConfigurationFile {
    static let bytesMax = 64 << 10
    static let lineBytesMax = 8192

    /// The options of all lines. A line that cannot be read becomes a mistake at its position.
    static func options(_ contents: ConfigurationContents, path: String) -> GivenOptions {
        var given = GivenOptions()
        let whole = OptionSource.file(path: path, line: 1)
        guard case .bytes(let bytes, let isWritableByAll) = contents else {
            if case .failed(let reason) = contents {
                given.add(whole) { _ throws(Ending) in throw .usage("cannot be read: \(reason).") }
            }
            return given
        }
        guard bytes.count <= bytesMax else {
            given.addMistake("the file is longer than \(bytesMax) bytes.", whole)
            return given
        }
        if isWritableByAll {
            given.add(whole) { draft in draft.warn("\(path): every user of this machine may write this file.") }
        }
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            let source = OptionSource.file(path: path, line: index + 1)
            if let mistake = add(line, source, to: &given) { given.addMistake(mistake, source) }
        }
        return given
    }

    /// Returns the mistake in the line; nil: there is none.
    private static func add(_ line: ArraySlice<UInt8>, _ source: OptionSource, to given: inout GivenOptions) -> String?
    {
        guard line.count <= lineBytesMax else { return "the line is longer than \(lineBytesMax) bytes." }
        let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
        guard !hasControlCharacter(line) else { return "the line has a control character." }
        guard let text = String(validating: withoutComment(line), as: UTF8.self) else {
            return "the line is not UTF-8."
        }
        let plain = trimmed(text[...])
        guard let first = plain.first else { return nil }
        return first == "-" ? addWords(plain, source, to: &given) : addNamed(plain, source, to: &given)
    }

    static func hasControlCharacter(_ bytes: some Sequence<UInt8>) -> Bool {
        bytes.contains { ($0 < 0x20 && $0 != UInt8(ascii: "\t")) || $0 == 0x7f }
    }

    /// As in Debian's script, `#` begins a comment anywhere, unless there is a backslash before it.
    private static func withoutComment(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var isEscaped = false
        for (index, byte) in zip(line.indices, line) {
            if byte == UInt8(ascii: "#"), !isEscaped { return line[..<index] }
            isEscaped = byte == UInt8(ascii: "\\")
        }
        return line
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop(while: isBlank)
        while let last = text.last, isBlank(last) { text.removeLast() }
        return text
    }

    private static func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" }

    // MARK: -m 64

    private static func addWords(_ line: Substring, _ source: OptionSource, to given: inout GivenOptions) -> String? {
        guard let words = words(of: line) else { return "a quotation mark is not closed." }
        var read = GivenOptions()
        read.add(words: words.filter { $0 != "-d" && $0 != "-h" }, source)
        // Debian's script drops -d, because the service manager wants the server in the foreground.
        if words.contains("-d") {
            given.add(source) { draft in
                draft.warn("\(source.text): -d is passed over, as by Debian's script; daemon on a line has its effect.")
            }
        }
        given.append(read)
        return nil
    }

    /// Splits a line as a shell does: at blanks, with quotation marks and backslashes. nil: a mark is not closed.
    static func words(of line: Substring) -> [String]? {
        var words: [String] = []
        var word: String?
        var quote: Character?
        var isEscaped = false
        for character in line {
            if isEscaped {
                word = (word ?? "") + String(character)
                isEscaped = false
            } else if character == "\\", quote != "'" {
                isEscaped = true
            } else if let open = quote {
                if character == open { quote = nil } else { word = (word ?? "") + String(character) }
            } else if character == "'" || character == "\"" {
                quote = character
                word = word ?? ""
            } else if isBlank(character) {
                if let word { words.append(word) }
                word = nil
            } else {
                word = (word ?? "") + String(character)
            }
        }
        guard quote == nil else { return nil }
        if let word { words.append(word) }
        return words
    }

    // MARK: memory-limit 64

    private static func addNamed(_ line: Substring, _ source: OptionSource, to given: inout GivenOptions) -> String? {
        let name = line.prefix { !isBlank($0) && $0 != "=" }
        var rest = trimmed(line.dropFirst(name.count))
        let hasEquals = rest.first == "="
        if hasEquals { rest = trimmed(rest.dropFirst()) }
        // Debian's script drops this line.
        if name == "logfile" {
            given.add(source) { draft in
                draft.warn("\(source.text): logfile is passed over: the log goes to standard error.")
            }
            return nil
        }
        guard let option = Option.all.first(where: { $0.longName == String(name) }) else {
            return "there is no option \"\(name)\"; larder -h lists all of them."
        }
        guard !option.isForCommandLineOnly else { return "\(name) can be given on the command line only." }
        given.set(option, to: rest.isEmpty && !hasEquals ? nil : unquoted(rest), source)
        return nil
    }

    private static func unquoted(_ text: Substring) -> String {
        var text = text
        if let first = text.first, first == "\"" || first == "'", text.count > 1, text.last == first {
            text = text.dropFirst().dropLast()
        }
        var plain = ""
        for character in text {
            // Only the backslash before a # is dropped.
            if character == "#", plain.last == "\\" { plain.removeLast() }
            plain.append(character)
        }
        return plain
    }
}
