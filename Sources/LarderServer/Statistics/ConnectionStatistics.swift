/// `stats conns`: every listener and every client, some at a time.
final class ConnectionStatistics: AnswerStream {
    /// Descriptors that are looked at for one piece, in use or not.
    private static let descriptorsMax = 4096
    /// Those in use among them: each costs two system calls.
    private static let entriesMax = 64
    private var next = 0

    override func writePiece(_ connection: inout Connection, _ context: inout WorkerContext) -> Progress {
        let table = context.state.connectionTable
        var lines = StatisticsList()
        let end = min(table.count, next + Self.descriptorsMax)
        var found = 0
        while next < end, found < Self.entriesMax {
            if let entry = table.entry(next) {
                found += 1
                Self.add(entry, fd: next, asking: Int(connection.number), now: context.now, to: &lines)
            }
            next += 1
        }
        connection.write(lines, &context)
        guard next == table.count else { return .more }
        connection.writeEndOfStatistics(&context)
        return .done
    }

    private static func add(
        _ entry: (state: ConnectionTable.State, milliseconds: Int64), fd: Int, asking: Int, now: Int64,
        to lines: inout StatisticsList
    ) {
        let isAsking = fd == asking
        let local = SocketAddress.local(of: Int32(fd))
        if entry.state == .datagrams {
            lines.add("\(fd):UDP", "UDP")
            lines.add("\(fd):addr", local?.datagramText ?? "?")
        } else if entry.state == .listening {
            lines.add("\(fd):addr", local?.text ?? "?")
        } else {
            lines.add("\(fd):addr", SocketAddress.peer(of: Int32(fd))?.text ?? "?")
            lines.add("\(fd):listen_addr", local?.text ?? "?")
        }
        lines.add("\(fd):state", isAsking ? "conn_parse_cmd" : entry.state.name)
        if entry.state == .sending { lines.add("\(fd):resps_waiting", 1) }
        lines.add("\(fd):secs_since_last_cmd", max(0, (now - entry.milliseconds) / 1000))
    }
}
