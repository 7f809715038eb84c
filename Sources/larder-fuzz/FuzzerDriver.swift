import Glibc

/// libFuzzer, if it is linked. It is looked up by name, so that this program can be built without it.
struct FuzzerDriver {
    private typealias Callback = @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
    private typealias Driver =
        @convention(c) (
            UnsafeMutablePointer<CInt>,
            UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>, Callback
        ) -> CInt

    private let driver: Driver

    init?() {
        guard let symbol = dlsym(nil, "LLVMFuzzerRunDriver") else { return nil }
        // SAFETY: libFuzzer's interface, which does not change (FuzzerInterface.h).
        driver = unsafeBitCast(symbol, to: Driver.self)
    }

    func run() -> CInt {
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        return driver(&count, &arguments) { bytes, count in
            Running.run([UInt8](UnsafeBufferPointer(start: bytes, count: count)))
            return 0
        }
    }
}
