import Glibc

/// libFuzzer, where it is linked: it is looked up by its name, so that every build of the package can have this program.
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
