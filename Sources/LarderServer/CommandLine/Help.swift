/// The texts that `-h` and `-i` print.
package enum Help {
    /// No line is longer than this.
    static let columnsMax = 90
    private static let helpColumn = 36

    /// What `-h` prints.
    package static let text: String = {
        var text = """
            memcached \(Version.memcached)
            Larder \(Version.larder), a cache server that speaks memcached's protocol.

            usage: larder [options]         serve
                   larder ping [options]    check that a server answers (larder ping -h)
                   larder stats [ARG]       print a server's statistics
                   larder get KEY           print a value
                   larder set KEY [VALUE]   store a value
                   larder delete KEY        delete an item
                   larder keys [PREFIX]     list the keys of a server
                   larder top               print a server's rates, once a second
                   larder inspect FILE      check a store's file (larder inspect -h)
                   larder log COMMAND       make and read a log of replicated caches


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
                           [--health]

        Asks a server for its version. Exit code 0: it answered; 1: it did not, and standard
        error has the reason. Without -l, -p and -s it asks the server that the environment
        describes: LARDER_PORT and the like, and the file of LARDER_CONFIG.

          -l HOST     the server's host (default: this machine)
          -p PORT     the server's port (default 11211)
          -s FILE     the server's socket file, instead of host and port
          -Z          use TLS, without a check of the server's certificate
          -B binary   use the binary protocol, for a server with -S
          -t SECONDS  how long to wait (default 3)
          -v          print the answer
          --health    ask the admin listener whether the server is alive; -l and -p are those of
                      --admin

        """

    /// `larder inspect -h`.
    static let inspect = """
        usage: larder inspect [--json] FILE

        Prints the contents of a store's file (-e, --store, store=), and checks all of it: every
        item's checksum, and the index against the items. The file is not changed, and a running
        server may use it. Exit code 0: no problems; 1: problems, or not a store; 2: a server is
        making the file at this moment.

          --json      print one JSON object instead

        """

    /// `larder log -h`.
    static let log = """
        usage: larder log COMMAND [options] [LOG]

        Makes, reads and shortens the log of replicated caches. LOG is a directory or the URL of
        a database; without it, the environment variable LARDER_LOG_URL has the URL. COMMAND is
        init, status, tail or rewrite. The program larder-log does the work.

          --sql         init: print the statements that make the tables, and run nothing
          --after ID    tail: print all changes after a record
          --follow      tail: go on printing new ones
          --before ID   rewrite: replace the records up to this one (default: all)

        """

    /// What `-i` prints.
    package static let license = """
        Larder \(Version.larder)
        Copyright 2026 the Larder authors. Larder is under the Apache License 2.0.
        Larder is built on libevent (https://libevent.org), under the 3-clause BSD licence, on
        OpenSSL (https://openssl.org), under the Apache License 2.0 (version 3; before it the
        OpenSSL licence), and on the Swift runtime (https://swift.org), under the Apache License
        2.0 with Runtime Library Exception. It speaks memcached's protocol and contains none of
        its code.

        """

    /// The last part of `-h`.
    static let examples = """
        Examples
          larder                           64 MB, for programs on this machine
          larder -m 1024 -l '*'            1 GB, for all clients that can reach this machine
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
