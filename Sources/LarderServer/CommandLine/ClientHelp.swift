/// The texts of the commands that ask a server.
extension Help {
    private static let server = """
        Without -l, -p and -s it asks the server that the environment describes: LARDER_PORT and
        the like, and the file of LARDER_CONFIG.

          -l HOST     the server's host (default: this machine)
          -p PORT     the server's port (default 11211)
          -s FILE     the server's socket file, instead of host and port
          -Z          use TLS, without a check of the server's certificate
          -t SECONDS  how long the server may be silent (default 3)
        """

    /// `larder stats -h`.
    static let stats = """
        usage: larder stats [options] [ARG]

        Prints the statistics of a memcached or a Larder, one name and value a line. ARG is the
        name of another list, such as items, settings or larder. Exit code 0: it is printed;
        1: the server did not answer, or refused, and standard error has the reason.

        \(server)

        """

    /// `larder get -h`.
    static let get = """
        usage: larder get [options] KEY

        Prints the value of a key, byte by byte, and nothing else. Exit code 0: it is printed;
        1: the server did not answer, or refused; 2: there is no such key.

        \(server)

        """

    /// `larder set -h`.
    static let set = """
        usage: larder set [options] KEY [VALUE]

        Stores a value, with flags 0 and without an expiry time. Without VALUE, or with - for it,
        the value is all of standard input. Write -- before a value that begins with a dash. Exit
        code 0: it is stored; 1: the server did not answer, or refused.

        \(server)

        """

    /// `larder delete -h`.
    static let delete = """
        usage: larder delete [options] KEY

        Deletes an item. Exit code 0: it is deleted; 1: the server did not answer, or refused;
        2: there is no such key.

        \(server)

        """

    /// `larder keys -h`.
    static let keys = """
        usage: larder keys [options] [PREFIX]

        Lists the keys that begin with PREFIX, or all keys, one a line and in no order. A control
        character in a key is printed as % and two digits. The server must allow dumps of keys.
        Exit code 0: the list is complete, or has N keys; 1: the server did not answer,
        or refused.

        \(server)
          -0          end each key with a NUL, and print its bytes as they are
          --limit N   print at most so many keys
          --cursor N  begin at this cursor, or at the start with 0, and print the next cursor to
                      standard error; 0 is the end of the list. Larder only

        """

    /// `larder top -h`.
    static let top = """
        usage: larder top [options]

        Prints a server's requests, hits, evictions and bytes per second, its clients and its
        memory, once a second and in place. Exit code 0: one table is printed; 1: the server did
        not answer, or refused.

        \(server)
          --once      print one table and exit

        """
}
