import Testing

@testable import LoadGenerator

struct ValueSizesTests {
    private func sizes(_ words: String) throws -> ValueSizes {
        guard case .run(let options) = try OptionParser.parse(words.split(separator: " ").map(String.init))
        else {
            throw OptionError(message: "not a run")
        }
        return ValueSizes(options)
    }

    @Test func sizesByWeight() throws {
        let sizes = try sizes("--data-size-list 32:50,512:45,4096:5")
        defer { sizes.end() }
        var random = SeededRandom(seed: 3)
        var counts = [Int: Int]()
        for _ in 0..<100_000 { counts[sizes.next(key: 0, &random), default: 0] += 1 }
        #expect(Set(counts.keys) == [32, 512, 4096])
        // Five standard deviations.
        for (size, share) in [(32, 0.5), (512, 0.45), (4096, 0.05)] {
            let expected = 100_000 * share
            #expect(abs(Double(counts[size] ?? 0) - expected) < 5 * (expected * (1 - share)).squareRoot())
        }
    }

    @Test func sizesOfARangeAreAllAlike() throws {
        let sizes = try sizes("--data-size-range 10-13")
        defer { sizes.end() }
        var random = SeededRandom(seed: 4)
        var counts = [Int: Int]()
        for _ in 0..<10_000 { counts[sizes.next(key: 0, &random), default: 0] += 1 }
        #expect(Set(counts.keys) == Set(10...13))
        #expect(counts.values.allSatisfy { (2250...2750).contains($0) })
    }

    @Test func sizesThatGrowWithTheKey() throws {
        let sizes = try sizes(
            "--data-size-range 100-199 --data-size-pattern S --key-minimum 1000 --key-maximum 1999")
        defer { sizes.end() }
        var random = SeededRandom(seed: 5)
        let found = (UInt64(1000)...1999).map { sizes.next(key: $0, &random) }
        #expect(found == (0..<1000).map { 100 + $0 / 10 })
    }
}
