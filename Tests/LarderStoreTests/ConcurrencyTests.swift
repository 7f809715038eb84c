import Foundation
import LarderTesting
import Testing

/// Threads at the same few keys of a small arena, as `ConcurrentRun` describes. The same runs are made under the thread
/// sanitizer: `make test-tsan`.
@Suite struct ConcurrencyTests {
    private static let rounds =
        ProcessInfo.processInfo.environment["LARDER_THREAD_ROUNDS"].flatMap { Int($0) } ?? 5000

    @Test(arguments: ConcurrentRun.Load.allCases, [1024, 16 << 10])
    func everyValueReadWasStored(load: ConcurrentRun.Load, slabBytes: Int) throws {
        var run = ConcurrentRun(load, slabBytes: slabBytes)
        run.rounds = Self.rounds
        #expect(try run.failures() == [])
    }
}
