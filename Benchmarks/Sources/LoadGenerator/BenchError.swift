/// Why a run could not be finished.
struct BenchError: Error {
    let message: String
}
