/// What both pools do with the resource of a slot.
struct PoolKeeper<Resource: Sendable>: Sendable {
    let slots: PoolSlots<Resource>
    let create: @Sendable () async throws -> Resource
    let isBroken: @Sendable (Resource) -> Bool
    let discard: @Sendable (Resource) async -> Void
    /// Whether a resource that came back broken is replaced at once, or when the next borrower needs one.
    let replacesAtOnce: Bool
    /// Nil where nobody measures the pool.
    var observer: PoolObserver?

    func acquire() async throws -> Resource {
        guard let observer else { return try await borrow() }
        let begin = ContinuousClock.now
        defer { observer.changed(slots.usage) }
        if slots.freeCount == 0 {
            // This one is about to wait as well.
            var usage = slots.usage
            usage.waiterCount += 1
            observer.changed(usage)
        }
        let resource = try await borrow()
        observer.lent(after: begin.duration(to: .now))
        return resource
    }

    private func borrow() async throws -> Resource {
        let slot = try await slots.acquire()
        if let resource = slot {
            guard isBroken(resource) else { return resource }
            await discard(resource)
        }
        do {
            return try await create()
        } catch {
            // The next one in the queue tries for itself.
            _ = slots.release(nil)
            throw error
        }
    }

    func giveBack(_ resource: Resource) {
        defer { observer?.changed(slots.usage) }
        if isBroken(resource) {
            Task { await replace(resource) }
        } else if !slots.release(resource) {
            Task { await discard(resource) }
        }
    }

    /// The slot stays taken meanwhile: there are never more resources than slots.
    private func replace(_ resource: Resource) async {
        await discard(resource)
        let replacement = replacesAtOnce ? try? await create() : nil
        if !slots.release(replacement), let replacement { await discard(replacement) }
        observer?.changed(slots.usage)
    }

    func close() async {
        for resource in slots.close() { await discard(resource) }
        observer?.changed(slots.usage)
    }
}
