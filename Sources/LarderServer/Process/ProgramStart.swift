import CLarderSystem

/// Checks that every program does first.
package enum ProgramStart {
    /// The arguments of `main`, without the program's own name.
    /// - Throws: when the argument list is empty. Then the options are missing, too, and a server without its options
    ///   could listen on every address.
    package static func arguments() throws(Ending) -> [String] {
        let all = (0..<larder_argument_count()).map { String(cString: larder_argument($0)) }
        guard let name = all.first, !name.isEmpty else {
            throw .usage("larder: the argument list is empty: not even the program's name (argv[0]) was passed.")
        }
        return Array(all.dropFirst())
    }

    /// Opens the descriptors 0, 1 and 2 on /dev/null if they are closed. Otherwise a store's file could get such a
    /// number, and the log would be written into it. False on failure.
    package static func openStandardDescriptors() -> Bool { larder_open_standard_descriptors() }
}
