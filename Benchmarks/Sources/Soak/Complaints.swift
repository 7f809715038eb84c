import Synchronization

/// Reports of wrong and lost values.
extension Client {
    func wrong(_ channel: Channel, _ owner: Int, _ index: Int, _ reason: String) {
        shared.ledger.wrong.add(1, ordering: .relaxed)
        let keys = shared.keys[channel.cache][owner]
        var known = ""
        if owner == number {
            known = "; known \(describe(keys.states[index]))"
            // One report for each key is enough.
            keys.states[index].doubtPresence()
        }
        shared.ledger.tell(
            "WRONG \(text(keys, index)) of cache \(shared.plans[channel.cache].name), read by \(dialect) client "
                + "\(number): \(reason)\(known)")
    }

    func lost(_ channel: Channel, _ keys: KeySet, _ index: Int, _ state: KeyState) {
        shared.ledger.lost.add(1, ordering: .relaxed)
        keys.know(index, .nothing)
        let way = channel.recheckNext < keys.count ? ", after a restart" : ""
        shared.ledger.tell(
            "LOST \(text(keys, index)) of cache \(shared.plans[channel.cache].name)\(way), missed by \(dialect) client "
                + "\(number) at \(shared.now) ms; known \(describe(state))")
    }

    func tellUnknown(_ channel: Channel, _ answer: Answer) {
        let bytes = UnsafePointer(channel.input + channel.inputStart)
        wrong(
            channel, number, channel.expected[channel.expectedNext].index,
            "not a known answer to a \(channel.expected[channel.expectedNext].kind): "
                + printable(bytes, min(answer.consumed, 80)))
    }

    private func text(_ keys: KeySet, _ index: Int) -> String {
        String(decoding: keys.text(index), as: UTF8.self)
    }

    private func describe(_ state: KeyState) -> String {
        let known = describe(state.known)
        return state.isUncertain
            ? "\(known) or \(describe(state.other))\(state.mayBeGone ? " or gone" : "")" : known
    }

    private func describe(_ contents: Contents) -> String {
        if contents.isNothing { return "nothing" }
        let end =
            contents.liveUntil == never
            ? "" : ", expires from \(contents.liveUntil) to \(contents.deadAfter) ms"
        return "version \(contents.version), \(contents.length) bytes\(end)"
    }

    func printable(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> String {
        var text = ""
        for place in 0..<count {
            let byte = bytes[place]
            text += 32..<127 ~= byte ? String(UnicodeScalar(byte)) : "."
        }
        return text
    }
}
