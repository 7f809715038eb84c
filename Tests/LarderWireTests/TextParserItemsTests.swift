import LarderTesting
import LarderWire
import Testing

/// The commands that change one item.
@Suite struct TextParserItemsTests {
    @Test(arguments: [
        ("set k 1 2 3\r\nabc\r\n", ["set k flags=1 exptime=2 value=abc"]),
        ("set k 1 2 3\nabc\r\n", ["set k flags=1 exptime=2 value=abc"]),
        ("set  k  1  2  3  \r\nabc\r\n", ["set k flags=1 exptime=2 value=abc"]),
        ("set k 0 0 0\r\n\r\n", ["set k flags=0 exptime=0 value="]),
        ("set k 0 0 4\r\na\r\nb\r\n", ["set k flags=0 exptime=0 value=a\r\nb"]),
        ("add k 0 0 1\r\na\r\n", ["add k flags=0 exptime=0 value=a"]),
        ("replace k 0 0 1\r\na\r\n", ["replace k flags=0 exptime=0 value=a"]),
        ("append k 0 0 1\r\na\r\n", ["append k flags=0 exptime=0 value=a"]),
        ("prepend k 0 0 1\r\na\r\n", ["prepend k flags=0 exptime=0 value=a"]),
        ("cas k 0 0 1 7\r\na\r\n", ["compareAndSwap k flags=0 exptime=0 cas=7 value=a"]),
        (
            "cas k 0 0 1 18446744073709551615\r\na\r\n",
            ["compareAndSwap k flags=0 exptime=0 cas=18446744073709551615 value=a"]
        ),
        ("set k 0 0 1 noreply\r\na\r\n", ["set k flags=0 exptime=0 noReply value=a"]),
        ("set k 0 0 1 noreply  \na\r\n", ["set k flags=0 exptime=0 noReply value=a"]),
        ("cas k 0 0 1 7 noreply\r\na\r\n", ["compareAndSwap k flags=0 exptime=0 cas=7 noReply value=a"]),
        // More words are not looked at, but for the last.
        ("set k 0 0 1 x y z\r\na\r\n", ["set k flags=0 exptime=0 value=a"]),
        ("set k 0 0 1 x noreply\r\na\r\n", ["set k flags=0 exptime=0 noReply value=a"]),
        ("set k 0 0 1 noreply x\r\na\r\n", ["set k flags=0 exptime=0 value=a"]),
        ("set k 0 0 1 Noreply\r\na\r\n", ["set k flags=0 exptime=0 value=a"]),
        ("set noreply 0 0 1\r\na\r\n", ["set noreply flags=0 exptime=0 value=a"]),
        ("set k 0 0 1\r\na\r\nget k\r\n", ["set k flags=0 exptime=0 value=a", "key k first", "end"]),
    ])
    func stores(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("4294967295 0 1", "flags=4294967295 exptime=0"),
        ("0 -1 1", "flags=0 exptime=-1"),
        ("4294967296 0 1", "flags=0 exptime=0"),
        ("18446744073709551615 0 1", "flags=4294967295 exptime=0"),
        ("-0 0 1", "flags=0 exptime=0"),
        ("0 2147483648 1", "flags=0 exptime=2147483648"),
        ("0 4294901759 1", "flags=0 exptime=4294901759"),
        ("0 4294901760 1", "flags=0 exptime=-65536"),
        ("0 4294967295 1", "flags=0 exptime=-1"),
        ("0 4294967297 1", "flags=0 exptime=1"),
        ("0 9223372036854775807 1", "flags=0 exptime=-1"),
        ("+7 +8 1", "flags=7 exptime=8"),
        ("007 -008 001", "flags=7 exptime=-8"),
        ("1\tx 2\t 1", "flags=1 exptime=2"),
        ("00000000000000000000001 00000000000000000000002 00000000001", "flags=1 exptime=2"),
    ])
    func storeNumbers(numbers: String, words: String) {
        expectSteps("set k \(numbers)\r\na\r\n", ["set k \(words) value=a"])
    }

    @Test(arguments: [
        "18446744073709551616 0", "-1 0", "x 0", "1x 0", "0 x", "0 1.5", "0 9223372036854775808", "0 -", "+ 0",
    ])
    func wrongNumberOfStoreSwallowsTheValue(numbers: String) {
        expectSteps(
            "set k \(numbers) 5\r\nget a\r\nget b\r\n", ["reject badCommandLine", "key b first", "end"])
        expectSteps("set k \(numbers) 5 noreply\r\nget a\r\n", ["reject badCommandLine silent"])
    }

    @Test(arguments: ["", " x", " -1", " noreply", " 5 noreply"])
    func wrongCasSwallowsTheValue(cas: String) {
        let isRight = cas.hasPrefix(" 5")
        let isSilent = cas.hasSuffix("noreply")
        let rejection = "reject badCommandLine" + (isSilent ? " silent" : "")
        let stored = "compareAndSwap k flags=0 exptime=0 cas=5 noReply value=abc"
        expectSteps("cas k 0 0 3\(cas)\r\nabc\r\n", [isRight ? stored : rejection])
    }

    @Test(arguments: [
        "set", "set ", "set k", "set k 0", "set k 0 0", "set k 0 0 ", "add k 0 0", "cas", "cas k 0 0 noreply",
        "set k 0 0 -1", "set k 0 0 -", "set k 0 0 x", "set k 0 0 1x", "set k 0 0 +1", "set k 0 0 1\t",
        "set k 0 0 2147483646", "set k 0 0 4294967297", "set k 0 0 000000000001",
        "set k 0 0 99999999999999999999",
        // A line that has not parsed cannot ask for silence.
        "set k 0 0 noreply", "set k 0 0 x noreply", "set k 0 0 -1 noreply", "append k 0 0 x noreply",
    ])
    func storeWithoutLengthSwallowsNothing(line: String) {
        expectSteps("\(line)\r\nget a\r\n", ["reject badCommandLine", "key a first", "end"])
    }

    @Test func valueOfLengthMinusZeroIsEmpty() {
        expectSteps("set k 0 0 -0\r\n\r\n", ["set k flags=0 exptime=0 value="])
    }

    @Test func longestValueIsAwaited() {
        let bytes = Array("set k 0 0 2147483645\r\nabc".utf8)
        var parser = TextParser()
        var request = Request()
        var cursor = 0
        #expect(parser.next(bytes, cursor: &cursor, end: bytes.count, request: &request) == .value)
        #expect(request.valueLength == 2_147_483_645)
        #expect(cursor == request.valueStart)
        #expect(cursor == bytes.count - 3)
    }

    @Test func overlongKeyOfStoreSwallowsTheValue() {
        let key = String(repeating: "k", count: TextParser.keyLengthMax)
        expectSteps("set \(key) 0 0 1\r\na\r\n", ["set \(key) flags=0 exptime=0 value=a"])
        expectSteps(
            "set \(key)k 0 0 5\r\nget a\r\nget b\r\n", ["reject badCommandLine", "key b first", "end"])
        expectSteps("set \(key)k 0 0 5 noreply\r\nget a\r\n", ["reject badCommandLine silent"])
    }

    @Test(arguments: [
        // What lies behind the announced length is read as commands.
        ("set k 0 0 3\r\nabcdef\r\n", ["reject badDataChunk", "reject badCommandLine"]),
        ("set k 0 0 3\r\nab\r\nget k\r\n", ["reject badDataChunk", "reject unknownCommand"]),
        ("set k 0 0 1\r\na\n\nget k\r\n", ["reject badDataChunk", "key k first", "end"]),
        ("set k 0 0 1 noreply\r\nabc", ["reject badDataChunk silent"]),
        (
            "set k 0 0 1\r\na\r\r\n\r\n",
            ["reject badDataChunk", "reject badCommandLine", "reject badCommandLine"]
        ),
    ])
    func badDataChunk(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("delete k\r\n", ["delete k"]),
        ("delete k 0\r\n", ["delete k"]),
        ("delete k noreply\n", ["delete k noReply"]),
        ("delete k 0 noreply\r\n", ["delete k noReply"]),
        ("delete k 0 x\r\n", ["delete k"]),
        ("delete noreply\r\n", ["delete noreply noReply"]),
        ("delete\r\n", ["reject badCommandLine"]),
        ("delete  \r\n", ["reject badCommandLine"]),
        ("delete k 1\r\n", ["delete k"]),
        ("delete k x\r\n", ["delete k"]),
        ("delete k 1 noreply\r\n", ["delete k noReply"]),
        ("delete a b c d e\r\nget a\r\n", ["delete a", "key a first", "end"]),
    ])
    func deletes(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("incr k 1\r\n", ["incr k 1"]),
        ("decr k 18446744073709551615\n", ["decr k 18446744073709551615"]),
        ("incr k 1 noreply\r\n", ["incr k 1 noReply"]),
        ("incr k 1 x\r\n", ["incr k 1"]),
        ("incr k +1\r\n", ["reject invalidDelta"]),
        ("incr k 1\r\r\n", ["reject invalidDelta"]),
        ("incr\r\n", ["reject badCommandLine"]),
        ("incr k\r\n", ["reject badCommandLine"]),
        ("decr noreply\r\n", ["reject badCommandLine"]),
        ("incr k x\r\n", ["reject invalidDelta"]),
        ("incr k -1\r\n", ["reject invalidDelta"]),
        ("incr k 18446744073709551616\r\n", ["reject invalidDelta"]),
        ("decr k noreply\r\n", ["reject invalidDelta silent"]),
    ])
    func arithmetic(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: [
        ("touch k 10\r\n", ["touch k 10"]),
        ("touch k -1 noreply\n", ["touch k -1 noReply"]),
        ("touch k 2147483647\r\n", ["touch k 2147483647"]),
        ("touch k 2147483648\r\n", ["reject invalidExptime"]),
        ("touch k 4294967296\r\n", ["reject invalidExptime"]),
        ("touch k +5\r\n", ["reject invalidExptime"]),
        ("touch\r\n", ["reject badCommandLine"]),
        ("touch k\r\n", ["reject badCommandLine"]),
        ("touch k x\r\n", ["reject invalidExptime"]),
        ("touch k noreply\r\n", ["reject invalidExptime silent"]),
    ])
    func touches(input: String, steps: [String]) {
        expectSteps(input, steps)
    }

    @Test(arguments: ["delete %", "incr % 1", "decr % x", "touch % 0", "touch % x"])
    func overlongKey(line: String) {
        let key = String(repeating: "k", count: TextParser.keyLengthMax + 1)
        let parts = line.split(separator: "%", omittingEmptySubsequences: false)
        let input = parts.joined(separator: key)
        expectSteps("\(input)\r\n", ["reject badCommandLine"])
        expectSteps("\(input) noreply\r\n", ["reject badCommandLine silent"])
    }
}
