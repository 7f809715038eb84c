/// What a binary packet asks for. The quiet form of a request leaves out the answer that says
/// nothing new: a retrieval's miss, and the success of anything else.
package enum BinaryOpcode: UInt8, Sendable, CaseIterable {
    case get = 0x00
    case set = 0x01
    case add = 0x02
    case replace = 0x03
    case delete = 0x04
    case increment = 0x05
    case decrement = 0x06
    case quit = 0x07
    case flush = 0x08
    case getQuietly = 0x09
    case noOperation = 0x0a
    case version = 0x0b
    case getWithKey = 0x0c
    case getWithKeyQuietly = 0x0d
    case append = 0x0e
    case prepend = 0x0f
    case statistics = 0x10
    case setQuietly = 0x11
    case addQuietly = 0x12
    case replaceQuietly = 0x13
    case deleteQuietly = 0x14
    case incrementQuietly = 0x15
    case decrementQuietly = 0x16
    case quitQuietly = 0x17
    case flushQuietly = 0x18
    case appendQuietly = 0x19
    case prependQuietly = 0x1a
    case touch = 0x1c
    case getAndTouch = 0x1d
    case getAndTouchQuietly = 0x1e
    case listMechanisms = 0x20
    case authenticate = 0x21
    case authenticateFurther = 0x22
    case getAndTouchWithKey = 0x23
    case getAndTouchWithKeyQuietly = 0x24
}

/// The outcome that a binary answer begins with.
package enum BinaryStatus: UInt16, Sendable {
    case success = 0x00
    case keyNotFound = 0x01
    case keyExists = 0x02
    case tooLarge = 0x03
    case invalidArguments = 0x04
    case notStored = 0x05
    case nonNumericValue = 0x06
    case authenticationError = 0x20
    case authenticationContinues = 0x21
    case unknownCommand = 0x81
    case outOfMemory = 0x82
    case notSupported = 0x83
    case temporaryFailure = 0x86
}
