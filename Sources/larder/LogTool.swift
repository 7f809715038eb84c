import Glibc

/// Becomes the program `larder-log`, so that the server links no library of a database. It stands beside this program,
/// or in a directory of `PATH`.
/// - Returns: the exit code, if there is no such program.
func becomeLogTool(_ words: [String]) -> Int32 {
    let name = "larder-log"
    // The program ends when the reader of its output has gone.
    signal(SIGPIPE, SIG_DFL)
    var arguments = ([name] + words).map { strdup($0) } + [nil]
    defer { for pointer in arguments { free(pointer) } }
    if let directory = ownDirectory() { execv(directory + "/" + name, &arguments) }
    execvp(name, &arguments)
    let reason = errno == ENOENT ? "it is neither beside larder nor in PATH" : String(cString: strerror(errno))
    write(
        """
        larder log: cannot run the program larder-log: \(reason).
        swift build -c release --traits MariaDB,PostgreSQL --product larder-log makes it.

        """, to: STDERR_FILENO)
    return AskExit.failed
}

/// The directory of this program.
private func ownDirectory() -> String? {
    var bytes = [UInt8](repeating: 0, count: Int(PATH_MAX))
    let count = bytes.withUnsafeMutableBytes { buffer -> Int in
        guard let start = buffer.baseAddress else { return 0 }
        // SAFETY: no more bytes are written than the buffer has.
        return readlink("/proc/self/exe", start.assumingMemoryBound(to: CChar.self), buffer.count)
    }
    guard count > 0, let slash = bytes[..<count].lastIndex(of: UInt8(ascii: "/")) else { return nil }
    return String(decoding: bytes[..<slash], as: UTF8.self)
}

/// Becomes another program, the first of `words`, as a container's shell would. `PATH` has its directory.
/// - Returns: the exit code of a shell that cannot run it.
func become(_ words: [String]) -> Int32 {
    signal(SIGPIPE, SIG_DFL)
    var arguments = words.map { strdup($0) } + [nil]
    defer { for pointer in arguments { free(pointer) } }
    execvp(words[0], &arguments)
    let (isAbsent, reason) = (errno == ENOENT, lastError())
    write("larder: cannot run \(PrintableText.string(words[0].utf8)): \(reason)\n", to: STDERR_FILENO)
    return isAbsent ? 127 : 126
}
