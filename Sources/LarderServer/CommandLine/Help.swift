/// The texts that `-h` and `-i` print.
package enum Help {
    /// No line is longer than this.
    static let columnsMax = 90
    private static let helpColumn = 36

    /// What `-h` prints.
    package static let text: String = {
        var text = """
            Larder \(Version.larder), a cache server that speaks memcached's protocol.

            usage: larder [options]         serve
                   larder ping [options]    ask a server whether it is there (larder ping -h)
                   larder inspect FILE      look through a store's file (larder inspect -h)


            """
        for group in Option.Group.allCases {
            text += "\(group.rawValue)\n"
            for option in Option.all where option.group == group { text += lines(for: option) }
            text += "\n"
        }
        return text + examples
    }()

    /// `larder ping -h`.
    static let ping = """
        usage: larder ping [-l HOST] [-p PORT] [-s FILE] [-Z] [-B binary] [-t SECONDS] [-v]

        Asks a server for its version. Exit code 0: it answered; 1: it did not, and why is on
        standard error.

          -l HOST     where the server is (default: this machine)
          -p PORT     its port (default 11211)
          -s FILE     its socket file, instead of host and port
          -Z          ask over TLS, whatever certificate it shows
          -B binary   ask in the binary protocol, as a server under -S needs
          -t SECONDS  how long to wait (default 3)
          -v          print what it answered

        """

    /// `larder inspect -h`.
    static let inspect = """
        usage: larder inspect [--json] FILE

        Prints what is in the file of a store (-e, --store, store=), and checks all of it: every
        item's checksum, and the index against the items. The file is only read, and may be that
        of a running server. Exit code 0: no problems; 1: problems, or not a store; 2: a
        server is making the file at this moment.

          --json      print one JSON object instead

        """

    /// What `-i` prints.
    package static let license = """
        Larder \(Version.larder)
        Larder is built on libevent (https://libevent.org), under the 3-clause BSD licence, on
        OpenSSL (https://openssl.org), under the Apache License 2.0 (version 3; before it the
        OpenSSL licence), and on the Swift runtime (https://swift.org), under the Apache License
        2.0 with Runtime Library Exception. It speaks memcached's protocol and contains none of
        its code.

        """

    private static let examples = """
        Examples
          larder                           64 MB, for programs on this machine
          larder -m 1024 -l '*'            1 GB, for everyone who can reach this machine
          larder -l 10.0.0.5,[::1]:11300   on one network card, and on another port locally
          larder -s /run/larder.sock -a 770
          larder ping -t 1 && echo up

        """

    private static func lines(for option: Option) -> String {
        var usage = option.hasLetter ? "  -\(option.letter)" : ""
        if let longName = option.longName { usage += (option.hasLetter ? ", " : "      ") + "--\(longName)" }
        if case .required(let name) = option.argument {
            usage += option.longName == nil ? " \(name)" : "=\(name)"
        }
        var text = usage
        for (index, line) in option.help.split(separator: "\n").enumerated() {
            var column = index == 0 ? usage.count : 0
            if column + 2 > helpColumn {
                text += "\n"
                column = 0
            }
            text += String(repeating: " ", count: helpColumn - column) + line + "\n"
        }
        return text
    }
}
