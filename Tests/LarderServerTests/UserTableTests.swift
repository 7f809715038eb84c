import Foundation
import LarderTesting
import Testing

@testable import LarderServer

/// The file of `-Y`, and asking it.
@Suite struct UserTableTests {
    @Test func aPasswordDatabaseIsReadAsMemcachedReadsIt() throws {
        let text = "\nnobody\nuser:password:::::::\nother:pass:word\n"
        let table = try UserTable(contents: text.utf8, path: "users", form: .passwordDatabase)
        func accepts(_ name: String, _ password: String) -> Bool {
            Array(name.utf8).withUnsafeBytes { name in
                Array(password.utf8).withUnsafeBytes { table.accepts(name: name, password: $0) }
            }
        }
        #expect(accepts("user", "password") && accepts("other", "pass:word"))
        #expect(!accepts("user", "password:::::::") && !accepts("nobody", "") && !accepts("user", "pass"))
        #expect(throws: UserFileError.malformed(path: "users")) { try UserTable(contents: text.utf8, path: "users") }
        #expect(throws: UserFileError.empty(path: "users")) {
            try UserTable(contents: "nobody\n".utf8, path: "users", form: .passwordDatabase)
        }
    }

    private func table(_ text: String) throws -> UserTable {
        try UserTable(contents: Array(text.utf8), path: "f")
    }

    private func accepts(_ table: UserTable, _ name: [UInt8], _ password: [UInt8]) -> Bool {
        name.withUnsafeBytes { name in
            password.withUnsafeBytes { table.accepts(name: name, password: $0) }
        }
    }

    private func accepts(_ table: UserTable, _ name: String, _ password: String) -> Bool {
        accepts(table, Array(name.utf8), Array(password.utf8))
    }

    @Test func linesOfUsers() throws {
        for text in ["a:b\nc:d\n", "a:b\nc:d", "a:b\r\nc:d\r\n"] {
            let users = try table(text)
            #expect(accepts(users, "a", "b") && accepts(users, "c", "d"))
            for (name, password) in [("a", "d"), ("c", "b"), ("a", ""), ("", "b"), ("a", "b\r"), ("a:b", ""), ("", "")]
            {
                #expect(!accepts(users, name, password), "\(name) \(password)")
            }
        }
        let odd = try table(":x\ny:\nn:p:q r\n")
        #expect(accepts(odd, "", "x") && accepts(odd, "y", "") && accepts(odd, "n", "p:q r"))
    }

    /// A cut in a user's name or at its colon is refused. A cut in a password looks like a last line without a line
    /// end, which memcached accepts.
    @Test func filesThatAreCutOff() throws {
        let whole = "first:one\nsecond:two\n"
        let refused = (0...whole.utf8.count).filter { count in
            let text = String(decoding: whole.utf8.prefix(count), as: UTF8.self)
            do throws(UserFileError) {
                _ = try UserTable(contents: Array(text.utf8), path: "f")
                return false
            } catch {
                #expect(error == (count == 0 ? .empty(path: "f") : .malformed(path: "f")))
                return true
            }
        }
        // The cuts up to each colon, with the colon.
        #expect(refused == Array(0...6) + Array(11...17))
        #expect(throws: UserFileError.empty(path: "f")) { try table("") }
        #expect(throws: UserFileError.malformed(path: "f")) { try table("a:b\nc:\r") }
        #expect(accepts(try table("a:b\nc:\r\n"), "c", ""))
    }

    /// CVE-2021-37519 and its kin: files of every wrong shape.
    @Test(arguments: [
        "a", "a\n", "\n", "a:b\n\n", "a:b\n\nc:d\n", "a:b\nc\n", "a\0:b\n", "a:b\0c\n", "\r\n",
        String(repeating: "n", count: 256) + ":p\n", "n:" + String(repeating: "p", count: 256) + "\n",
        String(repeating: "x", count: 100_000),
    ])
    func malformed(text: String) {
        #expect(throws: UserFileError.malformed(path: "f")) { try table(text) }
    }

    @Test func asManyUsersAsThereMayBe() throws {
        let lines = (0..<1000).map { "user\($0):password\($0)\n" }
        let users = try table(lines.joined())
        for number in [0, 1, 499, 998, 999] { #expect(accepts(users, "user\(number)", "password\(number)")) }
        #expect(!accepts(users, "user1", "password2"))
        #expect(throws: UserFileError.tooLarge(path: "f")) { try table(lines.joined() + "a:b\n") }
    }

    /// The comparison is its own, so it is held against `==`: on equal fields, on fields that differ in one
    /// bit anywhere, and on fields of which one is longer than can be stored.
    @Test func comparesLikeEquality() throws {
        var random = SeededRandom(seed: UInt64.random(in: 0 ... .max))
        print("seed \(random.seed)")
        func field() -> [UInt8] {
            (0..<Int.random(in: 0...255, using: &random)).map { _ in UInt8.random(in: 0x21...0x39, using: &random) }
        }
        for _ in 0..<200 {
            let known = (0..<3).map { _ in (name: field(), password: field()) }
            let users = try UserTable(
                contents: known.flatMap { $0.name + [0x3a] + $0.password + [0x0a] }, path: "f")
            for user in known {
                #expect(accepts(users, user.name, user.password))
                var (name, password) = user
                let position = Int.random(in: 0..<max(1, name.count + password.count), using: &random)
                let bit: UInt8 = 1 << UInt8.random(in: 0..<8, using: &random)
                if position < name.count {
                    name[position] ^= bit
                } else if position - name.count < password.count {
                    password[position - name.count] ^= bit
                } else {
                    password.append(0)
                }
                #expect(!accepts(users, name, password))
                #expect(!accepts(users, user.name, user.password + [0]))
                #expect(!accepts(users, user.name + [0], user.password))
                #expect(
                    !accepts(users, user.name, Array(user.password.dropLast(1)) + (user.password.isEmpty ? [1] : [])))
            }
            let full = [UInt8](repeating: 0x61, count: 255)
            let cut = try UserTable(contents: full + [0x3a] + full, path: "f")
            #expect(accepts(cut, full, full))
            #expect(!accepts(cut, full + [0x61], full) && !accepts(cut, full, full + [0x61]))
        }
    }

    // MARK: Authenticator

    @Test func readsAgain() throws {
        let path = NSTemporaryDirectory() + "larder-users-\(UUID().uuidString)"
        defer { unlink(path) }
        try "a:b\n".write(toFile: path, atomically: true, encoding: .utf8)
        let authenticator = try Authenticator(path: path)
        func accepts(_ name: String, _ password: String) -> Bool {
            Array(name.utf8).withUnsafeBytes { name in
                Array(password.utf8).withUnsafeBytes { authenticator.accepts(name: name, password: $0) }
            }
        }
        try "c:d\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(accepts("a", "b") && !accepts("c", "d"))
        #expect(authenticator.reload())
        #expect(!accepts("a", "b") && accepts("c", "d"))
        for wrong in ["nonsense", "a:b\nnonsense\n"] {
            try wrong.write(toFile: path, atomically: true, encoding: .utf8)
            #expect(!authenticator.reload())
            #expect(!accepts("a", "b") && accepts("c", "d"))
        }
        unlink(path)
        #expect(!authenticator.reload())
        #expect(accepts("c", "d"))
        #expect(throws: UserFileError.unreadable(path: path, error: ENOENT)) { try Authenticator(path: path) }
        #expect(throws: UserFileError.unreadable(path: "/", error: EISDIR)) { try Authenticator(path: "/") }
    }

    @Test func plainMessages() throws {
        let path = NSTemporaryDirectory() + "larder-users-\(UUID().uuidString)"
        defer { unlink(path) }
        try "a:b\n".write(toFile: path, atomically: true, encoding: .utf8)
        let authenticator = try Authenticator(path: path)
        func accepts(_ message: String) -> Bool {
            Array(message.utf8).withUnsafeBytes { authenticator.acceptsPlain($0) }
        }
        #expect(accepts("\0a\0b") && accepts("whoever\0a\0b"))
        for wrong in ["", "\0", "\0\0", "a\0b", "\0a\0", "\0a\0b\0", "\0a\0bb", "\0\0a\0b", "\0a", "a", "\0A\0b"] {
            #expect(!accepts(wrong), "\(wrong.utf8)")
        }
    }
}
