import CLarderSystem

/// What a program has to see to before anything else.
package enum ProgramStart {
    /// The arguments of `main`, without the program's own name.
    /// - Throws: when not even the name is there: whoever started the program then left out the options as well, and to
    ///   serve without them could be to serve everybody.
    package static func arguments() throws(Ending) -> [String] {
        let all = (0..<larder_argument_count()).map { String(cString: larder_argument($0)) }
        guard let name = all.first, !name.isEmpty else {
            throw .usage("larder was started without any arguments, not even its own name: start it by its name.")
        }
        return Array(all.dropFirst())
    }

    /// Whether the descriptors 0, 1 and 2 are open. Those that were closed are opened on /dev/null: a file of items
    /// must never be where the log is written.
    package static func openStandardDescriptors() -> Bool { larder_open_standard_descriptors() }
}
