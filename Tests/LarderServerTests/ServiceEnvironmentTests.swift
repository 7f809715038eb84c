import Glibc
import Testing

@testable import LarderServer

/// The variables of the service manager are removed from the environment, even if they are for another process.
@Suite struct ServiceEnvironmentTests {
    private final class Variables {
        var values: [String: String]
        init(_ values: [String: String]) { self.values = values }

        var environment: ServiceEnvironment {
            ServiceEnvironment(value: { self.values[$0] }, remove: { self.values[$0] = nil })
        }
    }

    private static let sockets = ["LISTEN_PID": "7", "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""]
    private static let messages = ["NOTIFY_SOCKET": "@a", "WATCHDOG_USEC": "4000", "WATCHDOG_PID": "7"]

    @Test(arguments: [7, 8] as [pid_t])
    func noVariableIsLeft(process: pid_t) throws {
        let variables = Variables(
            Self.sockets.merging(Self.messages) { one, _ in one }.merging(["HOME": "/"]) { one, _ in one })
        let notifier = ServiceNotifier.take(from: variables.environment, process: process)
        #expect(notifier.watchdogMilliseconds == (process == 7 ? 2 : nil))
        #expect(try InheritedSocket.takeAll(from: variables.environment, process: process).sockets == [])
        #expect(variables.values == ["HOME": "/"])
    }

    @Test func withoutAServiceManager() throws {
        let variables = Variables(["LISTEN_PID": "7", "WATCHDOG_USEC": "4000"])
        #expect(ServiceNotifier.take(from: variables.environment, process: 7).watchdogMilliseconds == nil)
        #expect(try InheritedSocket.takeAll(from: variables.environment, process: 7).sockets == [])
        #expect(variables.values.isEmpty)
    }
}
