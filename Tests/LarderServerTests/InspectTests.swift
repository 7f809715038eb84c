import Glibc
import LarderStore
import LarderTesting
import Testing

@testable import LarderServer

@Suite struct InspectTests {
    private func parse(_ line: String) -> CommandLineRequest {
        parseCommandLine(line.split(separator: " ").map(String.init))
    }

    @Test func commandLine() {
        guard case .inspect(let plain) = parse("inspect /dev/shm/store"),
            case .inspect(let json) = parse("larder inspect --json a"),
            case .inspect(let dashed) = parse("inspect -- --json")
        else {
            Issue.record("not taken for an inspection")
            return
        }
        #expect(plain == InspectSettings(path: "/dev/shm/store"))
        #expect(json == InspectSettings(path: "a", isJSON: true))
        #expect(dashed == InspectSettings(path: "--json"))
    }

    @Test(arguments: ["inspect", "inspect --jason a", "inspect a b"])
    func refused(line: String) {
        guard case .end(let ending) = parse(line) else {
            Issue.record("taken: \(line)")
            return
        }
        #expect(ending.exitCode != 0)
    }

    @Test func help() {
        guard case .end(let ending) = parse("inspect -h") else {
            Issue.record("no help")
            return
        }
        #expect(ending.exitCode == 0)
        #expect(ending.text.contains("larder inspect [--json] FILE"))
    }

    @Test func whatIsNoStore() {
        let report = inspect(InspectSettings(path: "/dev/null"))
        #expect(report.exitCode == 1)
        #expect(report.text.isEmpty)
        #expect(report.failure?.contains("/dev/null") == true)
    }

    /// An empty, locked file: a server has just begun to create it.
    @Test func fileThatIsBeingMade() throws {
        let file = try StoreTestFile()
        try file.replace(with: [])
        let fd = open(file.path, O_RDWR)
        defer { close(fd) }
        try #require(flock(fd, LOCK_EX | LOCK_NB) == 0)
        let report = inspect(InspectSettings(path: file.path))
        #expect(report.exitCode == 2)
        #expect(report.text.isEmpty)
        #expect(
            report.failure == "larder inspect: \(file.path): a server is making this file at this moment; look again")
    }

    @Test func sizesAndTimes() {
        #expect(InspectionText.size(12) == "12 bytes")
        #expect(InspectionText.size(64 << 20) == "64 MB")
        #expect(InspectionText.size(1536) == "1.5 KB")
        #expect(InspectionText.distance(15_000) == "in 15 s")
        #expect(InspectionText.distance(-200_000) == "3 min ago")
    }
}
