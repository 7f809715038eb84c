/// The options of the command line.
struct SoakOptions {
    var seed: UInt64 = 1
    /// How long the whole campaign takes, for all numbers of workers together.
    var seconds = 60
    /// Ends the campaign after so many verified operations; 0: no limit.
    var operations = 0
    var workers = [1, 2, 4, 8]
    var server = ".build/release/larder"
    var faults = FaultKind.allCases
    /// Names of the caches to use; all of them if empty.
    var caches: [String] = []
    var clients = 6
    var isStress = false
    var directory: String?
    var patienceSeconds = 20

    static let usage = """
        usage: larder-soak [options]
          --seed N              seed of all random choices (default 1)
          --seconds N           duration of the campaign (default 60)
          --operations N        end after N verified operations
          --workers N,...       values for the server's -t, one after the other (default 1,2,4,8)
          --server PATH         the server under test (default .build/release/larder)
          --faults NAME,...     faults to inject, or none (default all):
                                \(FaultKind.allCases.map(\.rawValue).joined(separator: ", "))
          --caches NAME,...     caches to use (default all)
          --clients N           client threads; each takes the next dialect (default 6, --stress 16):
                                \(Dialect.allCases.map(\.rawValue).joined(separator: ", "))
          --stress              four kinds of caches, values of 100 B to 2 MB, eviction, expiry; no faults
          --patience N          the server counts as stuck after N seconds without an answer (default 20)
          --directory PATH      directory for the files of the run (default TMPDIR or /tmp)
        Exit status: 0: nothing wrong, lost or broken; 1: something was; 2: a wrong option.
        """

    init(_ arguments: [String]) throws(SoakError) {
        var rest = arguments[...]
        while let name = rest.popFirst() {
            if name == "--stress" {
                isStress = true
                faults = []
                clients = 16
                continue
            }
            guard let value = rest.popFirst() else { throw SoakError("\(name) needs a value") }
            try take(name, value)
        }
    }

    private mutating func take(_ name: String, _ value: String) throws(SoakError) {
        switch name {
        case "--seed": seed = UInt64(try number(name, value, 0...Int.max))
        case "--seconds": seconds = try number(name, value, 1...1_000_000)
        case "--operations": operations = try number(name, value, 0...Int.max)
        case "--clients": clients = try number(name, value, 1...64)
        case "--patience": patienceSeconds = try number(name, value, 1...3600)
        case "--server": server = value
        case "--directory": directory = value
        case "--caches": caches = value.split(separator: ",").map(String.init)
        case "--workers":
            workers = []
            for part in value.split(separator: ",") { workers.append(try number(name, String(part), 1...64)) }
            if workers.isEmpty { throw SoakError("--workers needs a number") }
        case "--faults":
            faults = []
            for part in value.split(separator: ",") where part != "none" && part != "all" {
                guard let kind = FaultKind(rawValue: String(part)) else {
                    throw SoakError("unknown fault \(part)")
                }
                faults.append(kind)
            }
            if value == "all" { faults = FaultKind.allCases }
        default: throw SoakError("unknown option \(name)")
        }
    }

    private func number(_ name: String, _ value: String, _ range: ClosedRange<Int>) throws(SoakError) -> Int {
        guard let number = Int(value), range.contains(number) else {
            throw SoakError("\(name) takes a number")
        }
        return number
    }
}

struct SoakError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// The kinds of faults.
enum FaultKind: String, CaseIterable {
    /// SIGKILL, then a start, at once or a little later.
    case kill
    /// SIGTERM, then a start.
    case term
    /// SIGSTOP, and SIGCONT within 0.8 s.
    case stop
    case hup
    /// SIGTERM or SIGKILL, then a start with another `-m`.
    case memory
    /// Fills the file system, then starts the server there.
    case disk
    /// Changes bytes of a store's file while the server is down.
    case damage
    /// A client resets a connection in the middle of a batch.
    case reset
    /// A client closes the sending half of a connection.
    case half
    /// A client reads 2 KB at a time.
    case slow
    /// `flush_all` of one cache.
    case flush
    /// The wall clock jumps by up to three years, forwards or backwards, and back within 0.8 s.
    case clock
}
