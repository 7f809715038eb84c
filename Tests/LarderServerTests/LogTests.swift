import Glibc
import Testing

@testable import LarderServer

/// The log: escaped bytes, and lines that are not read.
@Suite struct LogTests {
    private func escaped(_ bytes: [UInt8]) -> String { bytes.withUnsafeBufferPointer { LogText.escaped($0) } }

    @Test func everyByte() {
        for byte in UInt8.min ... .max {
            let text = escaped([byte])
            if (0x20...0x7e).contains(byte), byte != 0x5c {
                #expect(text.utf8.elementsEqual([byte]))
            } else {
                let digits = Array("0123456789abcdef".utf8)
                #expect(text.utf8.elementsEqual([0x5c, 0x78, digits[Int(byte >> 4)], digits[Int(byte & 15)]]))
            }
        }
        #expect(escaped([]).isEmpty)
    }

    @Test func longTextsAreCut() {
        #expect(escaped([UInt8](repeating: 0x61, count: 4096)) == String(repeating: "a", count: 4096))
        #expect(
            escaped([UInt8](repeating: 0x61, count: 4097)) == String(repeating: "a", count: 4096) + "... (4097 bytes)")
    }

    @Test func aMessageIsALineOrAnObject() {
        let message = "larder: a \"b\" \\ c\nd\u{1b}\u{e9}"
        var time = timespec()
        time.tv_sec = 951_782_399
        time.tv_nsec = 7_999_999
        #expect(LogLine.text(message, .warning, .text, at: time) == message)
        #expect(
            LogLine.text(message, .warning, .json, at: time)
                == "{\"time\":\"2000-02-28T23:59:59.007Z\",\"level\":\"warning\","
                + "\"message\":\"a \\\"b\\\" \\\\ c\\nd\\u001b\u{e9}\"}")
    }

    /// Descriptors of a pipe: where it is read, and where it is written.
    private func makePipe() throws -> (read: Int32, write: Int32) {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        return (ends[0], ends[1])
    }

    private func readAll(_ fd: Int32) -> String {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while case let count = read(fd, &piece, piece.count), count > 0 { bytes += piece[..<count] }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func linesInOrder() throws {
        let ends = try makePipe()
        let writer = try LogWriter(to: ends.write)
        let lines = (0..<1000).map { "line \($0)" }
        for line in lines { writer.put(line) }
        #expect(writer.finish(withinMilliseconds: 60_000))
        close(ends.write)
        #expect(readAll(ends.read) == lines.map { $0 + "\n" }.joined())
        #expect(writer.linesDropped == 0)
        close(ends.read)
    }

    /// The pipe is full and the writer's buffer is small: `put` returns, and a line gives the number of dropped lines
    /// in their place.
    @Test func unreadLinesAreDropped() throws {
        let ends = try makePipe()
        // Fill the pipe with empty lines.
        #expect(fcntl(ends.write, F_SETFL, O_NONBLOCK) == 0)
        let newlines = [UInt8](repeating: UInt8(ascii: "\n"), count: 4096)
        while write(ends.write, newlines, newlines.count) > 0 {}
        #expect(fcntl(ends.write, F_SETFL, 0) == 0)
        let writer = try LogWriter(to: ends.write, waitingBytesMax: 1000)
        let line = String(repeating: "x", count: 99)
        for _ in 0..<10_000 { writer.put(line) }
        let dropped = writer.linesDropped
        #expect(dropped > 1000)
        #expect(!writer.finish(withinMilliseconds: 10))
        // Read the rest.
        var text = ""
        var kept = 0
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while kept + dropped < 10_000 {
            let count = read(ends.read, &piece, piece.count)
            try #require(count > 0)
            text += String(decoding: piece[..<count], as: UTF8.self)
            kept = text.split(separator: "\n").count { $0 == line }
        }
        #expect(kept + dropped == 10_000)
        #expect(writer.finish(withinMilliseconds: 60_000))
        close(ends.write)
        text += readAll(ends.read)
        #expect(text.hasSuffix(" log lines dropped: standard error was not read in time\n"))
        close(ends.read)
    }

    @Test func aDescriptorThatDoesNotBlock() throws {
        let ends = try makePipe()
        #expect(fcntl(ends.write, F_SETFL, O_NONBLOCK) == 0)
        let writer = try LogWriter(to: ends.write)
        let line = String(repeating: "y", count: 999)
        for _ in 0..<200 { writer.put(line) }
        var count = 0
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while count < 200_000 {
            let more = read(ends.read, &piece, piece.count)
            try #require(more > 0)
            count += more
        }
        #expect(count == 200_000 && writer.linesDropped == 0)
        #expect(writer.finish(withinMilliseconds: 60_000))
        close(ends.write)
        close(ends.read)
    }

    /// The pipe has no reader, or the descriptor is not open: lines are dropped and counted, and no call hangs.
    @Test func aDescriptorThatIsNone() throws {
        let ends = try makePipe()
        close(ends.read)
        signal(SIGPIPE, SIG_IGN)
        let writer = try LogWriter(to: ends.write)
        for _ in 0..<10 { writer.put("z") }
        #expect(writer.finish(withinMilliseconds: 60_000))
        #expect(writer.linesDropped == 10)
        close(ends.write)
    }
}
