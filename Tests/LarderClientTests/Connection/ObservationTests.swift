import InMemoryTracing
import MetricsTestKit
import Testing
import Tracing

@testable import LarderClient

@Suite struct ObservationTests {
    @Test func requestsAreMeasuredAndTraced() async throws {
        let server = try TestServer()
        let metrics = TestMetrics()
        let tracer = InMemoryTracer()
        let connection = server.connection {
            $0.metricsFactory = metrics
            $0.tracer = tracer
        }
        _ = try await connection.items(for: ["a", "b"])
        _ = try await connection.store(.add, [NewItem(key: "a", bytes: [])], expiration: .never)

        let spans = tracer.finishedSpans
        #expect(spans.map(\.operationName) == ["get", "add"])
        #expect(spans.allSatisfy { $0.kind == .client })
        #expect(spans[0].attributes.get("db.system.name") == .string("memcached"))
        #expect(spans[0].attributes.get("db.operation.batch.size") == .int64(2))
        #expect(spans[0].attributes.get("server.address") == .string(server.address.description))

        let timers = metrics.timers.filter {
            $0.label == "db.client.operation.duration" && !$0.values.isEmpty
        }
        #expect(Set(timers.map { $0.dimensions.first { $0.0 == "db.operation.name" }?.1 }) == ["get", "add"])
        #expect(
            metrics.timers.contains { $0.label == "db.client.connection.create_time" && !$0.values.isEmpty })
    }

    @Test func poolsAreMeasured() async throws {
        let server = try TestServer()
        let metrics = TestMetrics()
        var configuration = server.configuration
        configuration.metricsFactory = metrics
        let pool = try await EagerPool(size: 2, to: server.address, configuration: configuration)
        func last(_ label: String, _ state: String? = nil) -> Double? {
            metrics.recorders.first { recorder in
                recorder.label == label
                    && recorder.dimensions.first { $0.0 == "db.client.connection.state" }?.1 == state
            }?.lastValue
        }
        let first = try await pool.acquire()
        #expect(last("db.client.connection.count", "used") == 1)
        #expect(last("db.client.connection.count", "idle") == 1)
        let second = try await pool.acquire()
        let third = Task { try await pool.withConnection { _ in } }
        await until { last("db.client.connection.pending_requests") == 1 && pool.waiterCount == 1 }
        first.giveBack()
        try await third.value
        second.giveBack()
        #expect(last("db.client.connection.pending_requests") == 0)
        #expect(last("db.client.connection.count", "used") == 0)
        #expect(last("db.client.connection.count", "idle") == 2)
        let waits = metrics.timers.filter { $0.label == "db.client.connection.wait_time" }
        #expect(waits.map(\.values.count) == [3])
        await pool.close()
    }

    @Test func whatFailsSaysSo() async throws {
        let tracer = InMemoryTracer()
        let metrics = TestMetrics()
        var configuration = ConnectionConfiguration()
        configuration.metricsFactory = metrics
        configuration.tracer = tracer
        configuration.onFailure = .miss
        configuration.silence()
        let connection = MemcacheConnection(
            to: .unixSocket(path: "/nonexistent/larder.sock"), configuration: configuration)
        _ = try await connection.items(for: ["a"])
        #expect(tracer.finishedSpans.first?.attributes.get("error.type") == .string("cannot connect"))
        let failed = metrics.timers.filter { timer in
            timer.dimensions.contains { $0 == ("error.type", "cannot connect") } && !timer.values.isEmpty
        }
        #expect(failed.map(\.label) == ["db.client.operation.duration"])
    }
}
