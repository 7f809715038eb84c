import LarderTesting
import Testing

@testable import LarderClient

@Suite struct EndScheduleTests {
    @Test func givesTheNextEndFirst() {
        let seed: UInt64 = 3
        var random = SeededRandom(seed: seed)
        var schedule = EndSchedule()
        var model: [String: Int64] = [:]
        for step in 0..<20_000 {
            let key = "k\(Int.random(in: 0..<40, using: &random))"
            switch Int.random(in: 0..<8, using: &random) {
            case 0..<5:
                let end = Int64.random(in: 0..<1000, using: &random)
                schedule.set(key, end)
                model[key] = end
            case 5:
                schedule.set(key, nil)
                model[key] = nil
            case 6:
                let now = Int64.random(in: 0..<300, using: &random)
                while let ended = schedule.popEnded(at: now) {
                    #expect(model[ended] == model.values.min(), "seed \(seed), step \(step)")
                    #expect((model.removeValue(forKey: ended) ?? .max) <= now, "seed \(seed), step \(step)")
                }
                #expect(model.values.allSatisfy { $0 > now }, "seed \(seed), step \(step)")
            default: break
            }
            #expect(schedule.next() == model.values.min(), "seed \(seed), step \(step)")
        }
        schedule.removeAll()
        #expect(schedule.next() == nil)
    }
}
