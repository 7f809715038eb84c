import Testing

@testable import LoadGenerator

/// --rate-limiting with a clock that stands still: latency counts from when a request was due.
struct OpenLoopTests {
    private static let millisecond: UInt64 = 1_000_000
    private static let start: UInt64 = 1_000_000_000

    /// A request each millisecond on one connection, and the time at which the run began.
    private func talk(_ words: String = "") throws -> Talk {
        var talk = try Talk("--ratio 0:1 --rate-limiting 1000 " + words)
        talk.worker.clock.standsAt = Self.start
        talk.begin()
        return talk
    }

    @Test func nothingIsSentBeforeItIsDue() throws {
        var talk = try talk()
        talk.turn()
        #expect(talk.received() == bytes("get memtier-5\r\n".utf8))
        talk.answer(Array("END\r\n".utf8))
        talk.worker.clock.standsAt += Self.millisecond - 1
        talk.turn()
        #expect(talk.received(isOptional: true).isEmpty)
        talk.worker.clock.standsAt += 1
        talk.turn()
        #expect(talk.received() == bytes("get memtier-6\r\n".utf8))
        let wait = talk.worker.sendDue()
        #expect(wait == Int64(Self.millisecond))
    }

    /// A server that stalls for 10 ms makes ten requests late, not one: 10 ms, 9 ms, 8 ms ...
    @Test func aStallCountsForAllThatWereDue() throws {
        var talk = try talk()
        talk.turn()
        talk.worker.clock.standsAt += 10 * Self.millisecond
        talk.turn()
        var latencies: [UInt64] = []
        for _ in 0...10 {
            let before = talk.worker.totals.getLatency.sum
            talk.answer(Array("END\r\n".utf8))
            latencies.append((talk.worker.totals.getLatency.sum - before) / Self.millisecond)
        }
        #expect(latencies == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
        let totals = talk.worker.totals
        #expect(totals.getLatency.maximum == 10 * Self.millisecond)
        // None of this was the generator's own delay.
        #expect(totals.lateness.count == 1 && totals.lateness.maximum == 0)
    }

    /// A generator that comes late has that in the latency, and says so.
    @Test func ownDelayIsCountedTwice() throws {
        var talk = try talk()
        talk.worker.clock.standsAt += 3 * Self.millisecond
        talk.turn()
        talk.answer(Array("END\r\n".utf8))
        let totals = talk.worker.totals
        #expect(totals.lateness.maximum == 3 * Self.millisecond)
        #expect(totals.getLatency.maximum == 3 * Self.millisecond)
    }

    /// What is overdue goes in batches as large as --pipeline allows.
    @Test func whatIsOverdueGoesTogether() throws {
        var talk = try talk("--pipeline 4")
        talk.turn()
        _ = talk.received()
        talk.worker.clock.standsAt += 6 * Self.millisecond
        talk.turn()
        talk.answer(Array("END\r\n".utf8))
        #expect(
            talk.received()
                == bytes("get memtier-6\r\nget memtier-7\r\nget memtier-8\r\nget memtier-9\r\n".utf8))
        talk.answer(Array("END\r\nEND\r\nEND\r\nEND\r\n".utf8))
        let totals = talk.worker.totals
        #expect(totals.getLatency.sum == (6 + 5 + 4 + 3 + 2) * Self.millisecond)
    }

    @Test func whatIsUnansweredAtTheEndIsCounted() throws {
        var talk = try talk()
        talk.turn()
        talk.worker.clock.standsAt += 5 * Self.millisecond
        talk.turn()
        talk.worker.end()
        // One was sent, and five more were due.
        let unanswered = talk.worker.totals.unanswered
        #expect(unanswered == 6)
    }

    @Test func aConnectionSendsNoMoreThanItsShare() throws {
        var talk = try talk("-n 2")
        talk.worker.clock.standsAt += 100 * Self.millisecond
        talk.turn()
        for _ in 0..<2 { talk.answer(Array("END\r\n".utf8)) }
        #expect(talk.received() == bytes("get memtier-5\r\nget memtier-6\r\n".utf8))
        let active = talk.worker.active
        #expect(active == 0)
    }

    /// All connections of all threads together: equal distances.
    @Test func requestsAreSpreadEvenly() throws {
        guard
            case .run(let options) = try OptionParser.parse(["-t", "2", "-c", "5", "--rate-limiting", "100"])
        else { return }
        var times: [UInt64] = []
        for thread in 0..<2 {
            var schedule = Schedule(options, thread: thread)
            schedule.begin(at: 1000)
            for number in 0..<50 {
                #expect(schedule.connection == number % 5)
                #expect(schedule.due == schedule.time(of: number % 5, request: number / 5))
                times.append(schedule.due)
                schedule.advance()
            }
        }
        #expect(times.sorted() == (0..<100).map { 1000 + $0 * Self.millisecond })
    }
}
