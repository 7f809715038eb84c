import CBenchSystem
import Glibc

/// What a server cannot go below: it reads a request and sends an answer that is always the same, and does nothing else.
/// One thread over epoll; of the text protocol one request at a time, with values of 100 bytes. `compare.py --floor`
/// measures it beside the others.
@main
enum LarderFloor {
    private static let readyMax = 512
    private static let waitNanoseconds: Int64 = 1_000_000_000
    private static let valueBytes = 100

    static func main() {
        bench_ignore_broken_pipes()
        guard let listener = listen((0..<bench_argument_count()).map { String(cString: bench_argument($0)) }) else {
            print("larder-floor: cannot listen; it takes -p PORT or -s PATH, on this machine only")
            exit(1)
        }
        let epoll = bench_epoll_create()
        watch(listener, epoll)
        serve(listener, epoll)
    }

    /// Flags that it has no use for have one argument each, and are passed over.
    private static func listen(_ arguments: [String]) -> Int32? {
        for (flag, argument) in zip(arguments.dropFirst(), arguments.dropFirst(2)) {
            if flag == "-p", let port = UInt16(argument) { return valid(bench_listen(port)) }
            if flag == "-s" { return valid(bench_listen_unix(argument)) }
        }
        return nil
    }

    private static func valid(_ descriptor: Int32) -> Int32? { descriptor < 0 ? nil : descriptor }

    private static func watch(_ descriptor: Int32, _ epoll: Int32) {
        _ = bench_epoll_watch(epoll, descriptor, UInt32(descriptor), 0, 0)
    }

    private static func serve(_ listener: Int32, _ epoll: Int32) -> Never {
        let input = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 16 << 10)
        let answer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: 1 << 10)
        let ready = UnsafeMutablePointer<bench_ready>.allocate(capacity: readyMax)
        while true {
            let count = bench_epoll_wait(epoll, ready, Int32(readyMax), waitNanoseconds)
            for number in 0..<Int(max(0, count)) {
                let client = Int32(ready[number].index)
                if client == listener {
                    let accepted = bench_accept(listener)
                    if accepted >= 0 { watch(accepted, epoll) }
                    continue
                }
                let received = recv(client, input.baseAddress, input.count, Int32(MSG_DONTWAIT))
                guard received > 0 else {
                    close(client)
                    continue
                }
                let length = answerBytes(input, received, answer)
                send(client, answer.baseAddress, length, Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
            }
        }
    }

    /// Writes the answer to the request, whose first letter tells what it is, and returns its length.
    private static func answerBytes(
        _ input: UnsafeMutableBufferPointer<UInt8>, _ received: Int, _ answer: UnsafeMutableBufferPointer<UInt8>
    ) -> Int {
        var length = 0
        func put(_ text: StaticString) {
            // SAFETY: what is put together below is shorter than the buffer: a line of a kilobyte is answered as a short one.
            memcpy(answer.baseAddress! + length, text.utf8Start, text.utf8CodeUnitCount)
            length += text.utf8CodeUnitCount
        }
        switch input[0] {
        case UInt8(ascii: "s"): put("STORED\r\n")
        case UInt8(ascii: "g"):
            put("VALUE ")
            // `get <key>\r\n`: the key is repeated.
            let keyLength = max(0, min(received - 6, 250))
            memcpy(answer.baseAddress! + length, input.baseAddress! + 4, keyLength)
            length += keyLength
            put(" 0 100\r\n")
            memset(answer.baseAddress! + length, Int32(UInt8(ascii: "x")), valueBytes)
            length += valueBytes
            put("\r\nEND\r\n")
        default: put("VERSION floor\r\n")
        }
        return length
    }
}
