import Testing

@testable import LarderClient

@Suite struct JumpTableTests {
    private func members(_ count: Int, weights: [UInt32] = []) -> [GroupMember] {
        (0..<count).map { number in
            GroupMember(
                .host("10.0.0.\(number)"), weight: weights.indices.contains(number) ? weights[number] : 1)
        }
    }

    private func counts(_ table: JumpTable, keyCount: Int, memberCount: Int) -> [Int] {
        var counts = [Int](repeating: 0, count: memberCount)
        for number in 0..<keyCount {
            if let member = table.member(for: "key \(number)", where: { _ in true }) { counts[member] += 1 }
        }
        return counts
    }

    /// The paper's promise: whatever moves when a server comes moves to it.
    @Test func oneMoreTakesItsShareAndNothingElseMoves() {
        for count in 1..<12 {
            let before = JumpTable(members(count))
            let after = JumpTable(members(count + 1))
            var moved = 0
            for number in 0..<2000 {
                let key = "key \(number)"
                let old = before.member(for: key) { _ in true }
                let new = after.member(for: key) { _ in true }
                if old != new {
                    #expect(new == count)
                    moved += 1
                }
            }
            let share = 2000 / (count + 1)
            #expect((share / 2...share * 2).contains(moved), "\(count): \(moved)")
        }
    }

    @Test func keysAreSpreadByWeight() {
        let table = JumpTable(members(4, weights: [1, 0, 3, 4]))
        let counts = counts(table, keyCount: 8000, memberCount: 4)
        #expect(counts[1] == 0)
        for (count, expected) in zip(counts, [1000, 0, 3000, 4000]) {
            #expect(abs(count - expected) < 250, "\(counts)")
        }
    }

    @Test func noMemberOrNoWeightIsNoPlace() {
        #expect(JumpTable([]).member(for: "k") { _ in true } == nil)
        #expect(JumpTable(members(2, weights: [0, 0])).member(for: "k") { _ in true } == nil)
        #expect(JumpTable(members(3)).member(for: "k") { _ in false } == nil)
    }

    @Test func weightsBeyondAnyListAreNoTrouble() {
        let table = JumpTable(members(3, weights: [.max, .max, 1]))
        #expect(counts(table, keyCount: 100, memberCount: 3).reduce(0, +) == 100)
    }

    @Test func theOneThatIsUsableHasAllKeys() {
        let table = JumpTable(members(5, weights: [9, 9, 1, 9, 9]))
        for number in 0..<200 {
            #expect(table.member(for: "key \(number)") { $0 == 2 } == 2)
        }
    }
}
