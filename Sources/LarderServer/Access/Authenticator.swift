import Glibc
import Synchronization

/// Who may log in, read from a file and read again on SIGHUP. Any thread may ask.
package final class Authenticator: Sendable {
    /// nil: the one user is in the settings.
    private let path: String?
    private let form: UserFileForm
    private let users: Mutex<UserTable>

    /// Reads the file that the settings name; nil when they name none.
    package convenience init?(_ settings: Settings) throws(StartupError) {
        do throws(UserFileError) {
            guard let path = settings.userFilePath else {
                guard let entry = settings.userEntry else { return nil }
                try self.init(entry: entry)
                return
            }
            try self.init(path: path, calledBy: settings.givenPaths?.userFile, form: settings.userFileForm)
        } catch {
            throw .userFile(error)
        }
    }

    /// - Parameter name: the file's name on the command line, for messages; nil: the path.
    init(path: String, calledBy name: String? = nil, form: UserFileForm = .lines) throws(UserFileError) {
        self.path = path
        self.form = form
        users = Mutex(try Self.read(path, calledBy: name ?? path, form))
    }

    /// - Parameter entry: `name:password` of the one user.
    init(entry: String) throws(UserFileError) {
        path = nil
        form = .lines
        users = Mutex(try Self.table(of: entry))
    }

    private static func table(of entry: String) throws(UserFileError) -> UserTable {
        try UserTable(contents: Array((entry + "\n").utf8), path: "MEMCACHED_PASSWORD")
    }

    /// Reads the file again. One that cannot be used changes nothing, and is worth a line. True: it was read.
    ///
    /// - Parameter userEntry: the one user of the settings, where there is no file.
    func reload(userEntry: String? = nil) -> Bool {
        do throws(UserFileError) {
            let table: UserTable
            if let path {
                table = try Self.read(path, calledBy: path, form)
            } else if let userEntry {
                table = try Self.table(of: userEntry)
            } else {
                return false
            }
            users.withLock { $0 = table }
            return true
        } catch {
            StandardError.write("\(error.message); the users stay as they were.", .warning)
            return false
        }
    }

    /// Whether somebody of this name has this password. Takes the same time for every name and password.
    func accepts(name: UnsafeRawBufferPointer, password: UnsafeRawBufferPointer) -> Bool {
        let table = users.withLock { $0 }
        return table.accepts(name: name, password: password)
    }

    /// SASL's PLAIN: who to act as, a NUL, a name, a NUL, a password. Who to act as is ignored, as by
    /// memcached: there is only one thing that anybody may do here.
    func acceptsPlain(_ message: UnsafeRawBufferPointer) -> Bool {
        guard let first = message.firstIndex(of: 0),
            let second = message[(first + 1)...].firstIndex(of: 0)
        else { return false }
        return accepts(
            name: UnsafeRawBufferPointer(rebasing: message[first + 1..<second]),
            password: UnsafeRawBufferPointer(rebasing: message[(second + 1)...]))
    }

    /// More than so many users can take.
    private static let fileBytesMax = UserTable.usersMax * 2 * (UserTable.fieldLengthMax + 1)

    private static func read(
        _ path: String, calledBy name: String, _ form: UserFileForm
    ) throws(UserFileError) -> UserTable {
        // Not blocking: a pipe in the place of the file must not hold the server up.
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { throw .unreadable(path: name, error: errno) }
        defer { close(fd) }
        var contents: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            // SAFETY: at most the array's own length is read into it.
            let count = Glibc.read(fd, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .unreadable(path: name, error: errno) }
            if count == 0 { break }
            contents += piece[..<count]
            guard contents.count <= fileBytesMax else { throw .tooLarge(path: name) }
        }
        return try UserTable(contents: contents, path: name, form: form)
    }
}
