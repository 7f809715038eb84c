import Testing

@testable import Soak

/// Which answers count as right, wrong and lost.
struct KeyStateTests {
    private let nine = Contents(version: 9, length: 100)
    private let ten = Contents(version: 10, length: 120)

    private func known(_ contents: Contents) -> KeyState {
        var state = KeyState()
        state.know(contents)
        return state
    }

    private func found(_ state: inout KeyState, _ contents: Contents, askedAt: Moment = 1000) -> Verdict {
        state.found(version: contents.version, length: contents.length, askedAt: askedAt, answeredAt: askedAt)
    }

    @Test func onlyAcknowledgedValuesAreRight() {
        var state = known(nine)
        #expect(found(&state, nine) == .right)
        #expect(found(&state, ten) == .different)
        #expect(found(&state, Contents(version: 8, length: 100)) == .older)
        #expect(found(&state, Contents(version: 9, length: 99)) != .right)
        var none = known(.nothing)
        #expect(found(&none, nine) == .resurrected)
    }

    @Test func aMissIsALossUnlessItMayBe() {
        var state = known(nine)
        #expect(state.missed(mayEvict: false, askedAt: 5, answeredAt: 5) == .lost)
        #expect(state.missed(mayEvict: true, askedAt: 5, answeredAt: 5) == .right)
        var none = known(.nothing)
        #expect(none.missed(mayEvict: false, askedAt: 5, answeredAt: 5) == .right)
    }

    @Test func expiryIsKeptOnBothSides() {
        var short = nine
        (short.liveUntil, short.deadAfter) = (2000, 4000)
        var state = known(short)
        #expect(state.missed(mayEvict: false, askedAt: 1990, answeredAt: 1999) == .lost)
        #expect(state.missed(mayEvict: false, askedAt: 1990, answeredAt: 2000) == .right)
        #expect(found(&state, nine, askedAt: 4000) == .right)
        #expect(found(&state, nine, askedAt: 4001) == .late)
    }

    @Test func anUnansweredChangeMayBeEither() {
        for seen in [nine, ten] {
            var state = known(nine)
            state.doubt(ten, until: 0)
            #expect(found(&state, seen) == .right)
            #expect(!state.isUncertain)
            // The version that was seen is the only possible one from now on.
            #expect(found(&state, seen == nine ? ten : nine) != .right)
        }
        var state = known(nine)
        state.doubt(ten, until: 0)
        #expect(found(&state, Contents(version: 8, length: 100)) == .older)
        #expect(state.missed(mayEvict: false, askedAt: 5, answeredAt: 5) == .lost)
    }

    @Test func aRequestOnItsWayKeepsBothOpen() {
        var state = known(nine)
        state.doubt(ten, until: 6000)
        #expect(found(&state, ten, askedAt: 5999) == .right)
        #expect(found(&state, nine, askedAt: 5999) == .right)
        #expect(found(&state, ten, askedAt: 6000) == .right)
        #expect(found(&state, nine, askedAt: 6001) == .older)
    }

    @Test func aDeleteThatWasNotAnsweredMayHaveHappened() {
        var state = known(nine)
        state.doubt(.nothing, until: 0)
        #expect(state.missed(mayEvict: false, askedAt: 5, answeredAt: 5) == .right)
        #expect(found(&state, nine) == .resurrected)
    }

    @Test func damageMayLoseAndNotBringBack() {
        var state = known(ten)
        state.doubtPresence()
        #expect(found(&state, nine) == .older)
        #expect(state.missed(mayEvict: false, askedAt: 5, answeredAt: 5) == .right)
        #expect(found(&state, ten) == .resurrected)
        var none = known(.nothing)
        none.doubtPresence()
        #expect(found(&none, nine) != .right)
    }
}
