import LarderStore
import LarderWire

/// How a worker samples its steps for `stats hotkeys`. It uses the countdown of `WorkerContext.stepsUntilNoted`.
struct KeySampling {
    /// Keys that a worker notes in a second: some thousandths of its time.
    private static let keysPerSecond = 8192
    /// One of so many steps is sampled at least.
    private static let intervalMax = 256

    var isOn = false
    /// One of so many steps is sampled, on average.
    private(set) var interval = 1
    /// The interval when the step at hand was chosen: a key of it stands for so many requests.
    private(set) var weight = 1
    private var keysNoted = 0
    private var requests = 0
    /// Steps up to the next one that is sampled, while a timed turn uses the countdown for itself.
    var stepsLeft = Int.max
    private var random: UInt64

    /// - Parameter seed: of the gaps between sampled steps.
    init(seed: Int) { random = 0x9e37_79b9_7f4a_7c15 &* (UInt64(truncatingIfNeeded: seed) &* 2 &+ 1) }

    /// Notes that a key is counted, which stands for so many requests.
    mutating func noteKey(weight: Int) {
        keysNoted &+= 1
        requests &+= weight
        if keysNoted > 2 * Self.keysPerSecond { interval = Self.intervalMax }
    }

    /// Steps up to the next one that is sampled: by chance, so that a client whose requests repeat themselves has its
    /// keys sampled alike.
    mutating func nextGap() -> Int {
        random ^= random &<< 13
        random ^= random &>> 7
        random ^= random &<< 17
        weight = interval
        return 1 + Int(random % UInt64(2 * interval - 1))
    }

    /// Adapts the interval to the requests of the last second.
    mutating func adapt() {
        interval = min(max(requests / Self.keysPerSecond, 1), Self.intervalMax)
        keysNoted = 0
        requests = 0
    }
}

extension WorkerContext {
    /// Follows `stats hotkeys on` and `off`, and adapts the sampling. Called once a second, and by those commands.
    mutating func tendSampling() {
        let hotKeys = state.hotKeys
        guard hotKeys.isOn else {
            if sampling.isOn { setSampleGap(Int.max) }
            sampling.isOn = false
            return
        }
        if sampling.isOn {
            sampling.adapt()
        } else {
            sampling = KeySampling(seed: number)
            sampling.isOn = true
            setSampleGap(sampling.nextGap())
        }
        hotKeys.fade(worker: number, now: now)
    }

    private mutating func setSampleGap(_ steps: Int) {
        sampling.stepsLeft = steps
        if turnBegan == 0 { stepsUntilNoted = steps }
    }

    /// For how many requests a key of the step at hand stands; nil: the step is not sampled.
    mutating func takeSample() -> Int? {
        if turnBegan != 0 {
            sampling.stepsLeft &-= 1
            guard sampling.stepsLeft == 0 else { return nil }
        }
        let weight = sampling.weight
        sampling.stepsLeft = sampling.nextGap()
        return weight
    }

    /// Counts a key that was read.
    fileprivate mutating func noteKey(_ key: UnsafeRawPointer, length: Int, weight: Int) {
        sampling.noteKey(weight: weight)
        // `stats hotkeys` lists the keys that clients of memcached can name.
        guard length <= TextParser.keyLengthMax else { return }
        state.hotKeys.note(
            UnsafeRawBufferPointer(start: key, count: length), worker: number, cache: cacheNumber,
            weight: Double(weight), now: now)
    }

    /// Keys that this worker has looked up in the cache at hand.
    fileprivate var keysRead: Int64 { counters.value(.cmdGet) &+ counters.value(.cmdTouch) }
}

extension Connection {
    /// A step whose keys are noted.
    /// - Parameter weight: for how many requests a key stands.
    @inline(never)
    mutating func sampledStep(_ context: inout WorkerContext, _ budget: inout Int, _ weight: Int) -> Bool {
        let cache = context.cacheNumber
        let before = context.keysRead
        // A step that reads keys sets one of them.
        context.batch.lookups.pointee.keyLength = 0
        request.keyLength = 0
        guard plainStep(&context, &budget) else { return false }
        // With key routes a step has one key, which may select another cache with its counters.
        noteKeys(context.cacheNumber == cache ? Int(clamping: context.keysRead &- before) : 1, weight, &context)
        return true
    }

    /// Notes the keys that the step has read.
    private mutating func noteKeys(_ count: Int, _ weight: Int, _ context: inout WorkerContext) {
        guard count > 0 else { return }
        let lookups = context.batch.lookups
        if lookups.pointee.keyLength > 0 {
            for place in 0..<min(count, StepRoom.countMax) {
                // SAFETY: the key lies in the input buffer, which the step has not moved.
                context.noteKey(lookups[place].key, length: lookups[place].keyLength, weight: weight)
            }
        } else if request.keyLength > 0, request.verb == .metaGet || request.verb == .fetch {
            noteKeyOfRequest(weight, &context)
        }
        // The first step of a connection is taken within another one.
        lookups.pointee.keyLength = 0
        if request.verb == .metaGet || request.verb == .fetch { request.keyLength = 0 }
    }

    private func noteKeyOfRequest(_ weight: Int, _ context: inout WorkerContext) {
        // SAFETY: the parser's offsets lie inside the input buffer.
        let key = UnsafePointer(input.base) + request.keyStart
        guard request.verb == .metaGet, request.meta.flags.has(UInt8(ascii: "b")) else {
            return context.noteKey(key, length: request.keyLength, weight: weight)
        }
        // The name of a routed key's cache is in such a key, and is not taken off.
        guard !context.routesKeys else { return }
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: TextParser.keyLengthMax) { decoded in
            // SAFETY: a decoded key is shorter than its text, which has at most `keyLengthMax` bytes.
            guard let start = decoded.baseAddress else { return }
            let length = Base64Key.decode(key, request.keyLength, into: start)
            context.noteKey(start, length: length, weight: weight)
        }
    }
}
