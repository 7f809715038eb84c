#if GRDB
    import LarderClient

    /// What the demo was called with.
    struct DemoArguments {
        /// What is wrong with them.
        struct Mistake: Error, CustomStringConvertible {
            let description: String
        }

        static let usage = """
            usage: qsets-demo [--database PATH] [--ttl SECONDS] [SERVER | --memory]
              SERVER           host:port, or the path of a Unix socket; 127.0.0.1:11211 without one
              --memory         cache in this process's memory instead
              --database PATH  SQLite's file; :memory: without one
              --ttl SECONDS    how long a row is cached; for ever without one, and 0: not at all
            """

        /// nil: this process's memory.
        private(set) var server: ServerAddress? = .host("127.0.0.1")
        private(set) var databasePath = ":memory:"
        private(set) var expiration = Expiration.never
        private(set) var isHelp = false

        init(_ arguments: ArraySlice<String>) throws(Mistake) {
            var rest = arguments
            while let argument = rest.popFirst() {
                switch argument {
                case "--help", "-h": isHelp = true
                case "--memory": server = nil
                case "--database": databasePath = try Self.value(of: argument, &rest)
                case "--ttl": expiration = try Self.expiration(try Self.value(of: argument, &rest))
                case let option where option.hasPrefix("-"): throw Mistake(description: "no option \(option)")
                default: server = try Self.address(argument)
                }
            }
        }

        private static func value(of option: String, _ rest: inout ArraySlice<String>) throws(Mistake)
            -> String
        {
            guard let value = rest.popFirst() else { throw Mistake(description: "\(option) needs a value") }
            return value
        }

        private static func expiration(_ text: String) throws(Mistake) -> Expiration {
            guard let seconds = Int64(text), seconds >= 0 else {
                throw Mistake(description: "--ttl needs a number of seconds, not \(text)")
            }
            return .after(.seconds(seconds))
        }

        private static func address(_ text: String) throws(Mistake) -> ServerAddress {
            if text.contains("/") { return .unixSocket(path: text) }
            guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]),
                colon > text.startIndex
            else { throw Mistake(description: "\(text) is neither host:port nor the path of a socket") }
            var host = text[..<colon]
            if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
            return .host(String(host), port: Int(port))
        }
    }
#endif
