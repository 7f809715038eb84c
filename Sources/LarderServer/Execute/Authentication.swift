import Glibc
import LarderWire

/// SASL, of which PLAIN is the one mechanism: a user and a password, in the first step or in the next.
extension Execute {
    private static let mechanism: StaticString = "PLAIN"

    /// As with memcached, whoever asks for the mechanisms begins anew.
    static func listMechanisms(_ connection: inout Connection, _ context: inout WorkerContext) {
        connection.binaryParser.isAuthenticated = false
        connection.isAuthenticating = false
        connection.writeText(mechanism, &context)
    }

    static func authenticate(
        _ connection: inout Connection, _ context: inout WorkerContext, _ request: Request,
        _ name: UnsafePointer<UInt8>, _ message: UnsafePointer<UInt8>
    ) {
        connection.binaryParser.isAuthenticated = false
        // The name counts in the first step only.
        let isPossible =
            request.options.continues ? connection.isAuthenticating : isMechanism(name, request.keyLength)
        connection.isAuthenticating = false
        if isPossible, request.valueLength == 0, !request.options.continues {
            connection.isAuthenticating = true
            return connection.writeContinuation(&context)
        }
        let bytes = UnsafeRawBufferPointer(start: message, count: request.valueLength)
        let succeeds = isPossible && context.state.access.authenticator?.acceptsPlain(bytes) ?? false
        connection.holdLogin(succeeds: succeeds, &context)
    }

    private static func isMechanism(_ name: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        // SAFETY: as many bytes of the name are compared as both have.
        length == mechanism.utf8CodeUnitCount
            && strncasecmp(
                UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self),
                UnsafeRawPointer(mechanism.utf8Start).assumingMemoryBound(to: CChar.self), length) == 0
    }
}
