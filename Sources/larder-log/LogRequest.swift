/// The words of a command line.
struct LogRequest {
    enum Command {
        case create(printsSQL: Bool)
        case status
        case tail(after: UInt64?, follows: Bool)
        case rewrite(before: UInt64?)
    }
    var command: Command
    var place: LogLocation
    /// Whether the place is not in the command line, which all users of the machine can read.
    var isFromEnvironment: Bool

    /// Has the place of the log if the command line has none.
    static let variable = "LARDER_LOG_URL"

    static let usage = """
        usage: larder log init [--sql] [LOG]
               larder log status [LOG]
               larder log tail [--after ID] [--follow] [LOG]
               larder log rewrite [--before ID] [LOG]

        Makes, reads and shortens the log of replicated caches. LOG is a directory, or the URL of
        a database: mariadb://USER@HOST/DATABASE or postgresql://USER@HOST/DATABASE. Without LOG,
        the environment variable LARDER_LOG_URL has it.

        A password may stand in LARDER_LOG_URL, or in the file of passwordfile=PATH.

          init         make the directory or the tables, if they are missing
          --sql        print the statements that make the tables, and run nothing
          status       print the ids of the last record and of the snapshot, and the records since
          tail         print the last ten changes: id, set or delete, key, bytes of the value
          --after ID   print all changes after a record
          --follow     go on printing new ones
          rewrite      replace old records by a snapshot of the items that they lead to
          --before ID  replace the records up to this one (default: all)

        """

    /// nil: the words are no request.
    init?(_ words: [String], environment: String?) {
        var flags: Set<String> = []
        var number: UInt64?
        var places: [String] = []
        var rest = words.dropFirst()
        while let word = rest.popFirst() {
            guard word.hasPrefix("-"), word.count > 1 else {
                places.append(word)
                continue
            }
            guard flags.insert(word).inserted else { return nil }
            if word == "--after" || word == "--before" {
                guard let value = rest.popFirst().flatMap({ UInt64($0) }) else { return nil }
                number = value
            }
        }
        switch words.first {
        case "init" where flags.isSubset(of: ["--sql"]): command = .create(printsSQL: !flags.isEmpty)
        case "status" where flags.isEmpty: command = .status
        case "tail" where flags.isSubset(of: ["--after", "--follow"]):
            command = .tail(after: number, follows: flags.contains("--follow"))
        case "rewrite" where flags.isSubset(of: ["--before"]): command = .rewrite(before: number)
        default: return nil
        }
        guard places.count <= 1, let found = places.first ?? environment, !found.isEmpty else { return nil }
        place = LogLocation(found)
        isFromEnvironment = places.isEmpty
    }
}
