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

    @Test func whatFailsSaysSo() async throws {
        let tracer = InMemoryTracer()
        var configuration = ConnectionConfiguration()
        configuration.tracer = tracer
        configuration.onFailure = .miss
        configuration.silence()
        let connection = MemcacheConnection(
            to: .unixSocket(path: "/nonexistent/larder.sock"), configuration: configuration)
        _ = try await connection.items(for: ["a"])
        #expect(tracer.finishedSpans.first?.attributes.get("error.type") == .string("cannot connect"))
    }
}
