import CLarderSystem
import Dispatch
import Glibc
import LarderTesting

/// Random sequences of operations on a store and its model, every invariant checked after each step, on all cores:
/// `make test-model`. A program and not a test, so that it is built optimised beside the server.
@main struct LarderModel {
    private static let usage = """
        usage: larder-model [--kind KIND] [--seed FIRST] [--sequences N]   N sequences of each kind, or of one:
               \(ModelKind.allCases.map(\.rawValue).joined(separator: ", "))
               larder-model --rounds N     four threads at a store, N turns of each, for each load
        """

    /// The arguments of the program, its name first.
    private static let words = (0..<larder_argument_count()).map { String(cString: larder_argument($0)) }

    static func main() {
        var kinds = ModelKind.allCases
        var first: UInt64 = 1
        var count: UInt64 = 1000
        var arguments = words.dropFirst()
        while let name = arguments.popFirst() {
            guard let value = arguments.popFirst() else { usageError("\(name) needs a value") }
            switch name {
            case "--kind":
                guard let kind = ModelKind(rawValue: value) else { usageError("no kind \(value)") }
                kinds = [kind]
            case "--seed", "--sequences":
                guard let number = UInt64(value), number < 1 << 40 else { usageError("\(name) needs a number") }
                if name == "--seed" { first = number } else { count = number }
            case "--rounds":
                guard let rounds = Int(value), (1...1_000_000_000).contains(rounds) else {
                    usageError("\(name) needs a number")
                }
                return runThreads(rounds)
            default: usageError("no option \(name)")
            }
        }
        let cores = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))
        LastWords.install(workers: cores)
        for kind in kinds { run(kind, seeds: first..<first + count, cores) }
    }

    private static func run(_ kind: ModelKind, seeds: Range<UInt64>, _ cores: Int) {
        let tally = Tally()
        let name = words.first ?? "larder-model"
        DispatchQueue.concurrentPerform(iterations: cores) { worker in
            var activity = ModelKind.Activity()
            for seed in stride(from: seeds.lowerBound + UInt64(worker), to: seeds.upperBound, by: cores) {
                let again = "\(name) --kind \(kind.rawValue) --seed \(seed) --sequences 1\n"
                LastWords.prepare(worker, again)
                do {
                    guard let failure = try kind.run(seed: seed, &activity) else { continue }
                    fail("\(kind.rawValue), seed \(seed): \(failure)\nagain: \(again)")
                } catch {
                    fail("\(kind.rawValue), seed \(seed): \(error)\nagain: \(again)")
                }
            }
            tally.add(activity)
        }
        let done = tally.total
        print(
            "\(kind.rawValue): \(seeds.count) sequences from seed \(seeds.lowerBound), \(done.steps) steps, "
                + "evicted \(done.evictions), moved \(done.itemsMoved), expired \(done.expired), full \(done.refusals)")
        if seeds.count >= 1000, let tame = kind.tameness(done) { fail("\(kind.rawValue): \(tame)\n") }
    }

    private static func runThreads(_ rounds: Int) {
        for load in ConcurrentRun.Load.allCases {
            for slabBytes in [1024, 16 << 10] {
                var threads = ConcurrentRun(load, slabBytes: slabBytes)
                threads.rounds = rounds
                do {
                    guard let failure = try threads.failures().first else { continue }
                    fail("\(load.rawValue), slabs of \(slabBytes) bytes: \(failure)\n")
                } catch { fail("\(error)\n") }
            }
            print("\(load.rawValue): four threads, \(rounds) turns of each, two sizes of slabs")
        }
    }

    private static func usageError(_ text: String) -> Never {
        write("larder-model: \(text)\n\(usage)\n")
        exit(2)
    }

    private static func fail(_ text: String) -> Never {
        write("larder-model: \(text)")
        exit(1)
    }

    private static func write(_ text: String) {
        _ = text.withCString { Glibc.write(2, $0, strlen($0)) }
    }
}

/// Adds up what the workers did.
private final class Tally: @unchecked Sendable {
    private let lock = DispatchSemaphore(value: 1)
    private var activity = ModelKind.Activity()

    func add(_ more: ModelKind.Activity) {
        lock.wait()
        defer { lock.signal() }
        activity.add(more)
    }

    var total: ModelKind.Activity {
        lock.wait()
        defer { lock.signal() }
        return activity
    }
}
