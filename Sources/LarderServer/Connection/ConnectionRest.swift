import LarderWire

/// What has to be kept of a connection while nothing of it is in hand.
struct RestingConnection {
    var dialect: Dialect
    var expectedDialect: Dialect
    var isAuthenticated: Bool
    var offersAuthentication: Bool
    /// The cache of the listener that it came by.
    var cacheNumber: Int32
}

extension RestingConnection {
    /// A client that has said nothing yet. Who has to log in first can do it in one dialect only, so that no other
    /// is a way around it.
    ///
    /// - Parameter bindingProtocol: what the listener says; nil: what `-B` says.
    init(_ bindingProtocol: Settings.BindingProtocol?, cacheNumber: Int, _ context: borrowing WorkerContext) {
        let login = context.login
        switch (login, bindingProtocol ?? context.bindingProtocol) {
        case (_, .uwsgi): expectedDialect = .uwsgi
        case (.text, _), (.none, .ascii): expectedDialect = .text
        case (.sasl, _), (.none, .binary): expectedDialect = .binary
        case (.none, .negotiating): expectedDialect = .undecided
        }
        // The first bytes of memcached's clients are looked at, since they may be a stranger's.
        dialect = expectedDialect == .uwsgi ? .uwsgi : .undecided
        isAuthenticated = login != .sasl || dialect == .uwsgi
        offersAuthentication = login == .sasl
        self.cacheNumber = Int32(truncatingIfNeeded: cacheNumber)
    }
}

/// Between requests a connection is a few bytes. The rest of it, buffers included, it borrows from its worker for
/// as long as something is in hand, which is mostly one turn: so that ten thousand silent clients cost little, and
/// those that ask find what the last one used still in the processor's cache.
///
/// The functions stand on the handle, because a function of a large struct may get a copy of it.
extension ConnectionHandle {
    /// Whether all requests are answered, all answers are sent, and no login is awaited.
    @inline(__always)
    var isAtRest: Bool {
        guard case .readingCommand = pointee.phase else { return false }
        return pointee.input.count == 0 && pointee.output.isEmpty && pointee.parser.retrievalTerminator == 0
            && pointee.binaryParser.isAuthenticated
    }

    /// What to keep. To be asked for at rest only.
    @inline(__always)
    var resting: RestingConnection {
        RestingConnection(
            dialect: pointee.dialect, expectedDialect: pointee.expectedDialect,
            isAuthenticated: pointee.binaryParser.isAuthenticated,
            offersAuthentication: pointee.binaryParser.offersAuthentication,
            cacheNumber: Int32(truncatingIfNeeded: pointee.cacheNumber))
    }

    /// Goes on for another client, when the one before is at rest.
    @inline(__always)
    func takeUp(_ resting: RestingConnection, number: Int32) {
        pointee.number = number
        pointee.cacheNumber = Int(resting.cacheNumber)
        pointee.dialect = resting.dialect
        pointee.expectedDialect = resting.expectedDialect
        pointee.binaryParser.isAuthenticated = resting.isAuthenticated
        pointee.binaryParser.offersAuthentication = resting.offersAuthentication
        pointee.parser.scannedLength = 0
    }

    /// Has the client log in first.
    func beginLogin() {
        pointee.login = TextLogin()
        pointee.loginFailures = 0
        pointee.phase = .loggingIn
    }
}

/// The connections that a worker lends to its clients.
struct ConnectionFreeList {
    private var kept = InlineArray<8, ConnectionHandle?>(repeating: nil)
    private var keptCount = 0

    /// A connection at rest, for `takeUp`; nil when there is none, and one has to be made.
    @inline(__always)
    mutating func take() -> ConnectionHandle? {
        guard keptCount > 0 else { return nil }
        keptCount &-= 1
        return kept[keptCount]
    }

    /// Takes a connection back that is at rest; false when there are enough of them, and it has to be freed.
    @inline(__always)
    mutating func giveBack(_ connection: ConnectionHandle) -> Bool {
        guard keptCount < kept.count else { return false }
        kept[keptCount] = connection
        keptCount &+= 1
        return true
    }

    @inline(never)
    static func make(_ context: borrowing WorkerContext) -> ConnectionHandle {
        let connection = ConnectionHandle(Connection(number: -1, nil, context))
        // A client that has to log in calls `beginLogin` when it comes.
        connection.pointee.phase = .readingCommand
        return connection
    }

    /// Ends a connection, whatever state it is in.
    @inline(never)
    static func free(_ connection: ConnectionHandle, _ context: inout WorkerContext) {
        connection.pointee.dispose(&context)
        connection.deallocate()
    }
}
