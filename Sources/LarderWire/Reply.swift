/// What the server answers, in the words of the protocol and of no dialect: each
/// encoder spells these in its own bytes. Values and statistics are not here: they
/// carry data, and an encoder writes them straight into the reply buffer.
package enum Reply: UInt8, Sendable, CaseIterable {
    case stored
    case notStored
    case exists
    case notFound
    case deleted
    case touched
    case ok
    case reset
    /// `MN`: the answer to an empty request.
    case noOperation
    /// `ERROR`: a command that does not exist.
    case unknownCommand
    /// `CLIENT_ERROR bad command line format`
    case badCommandLine
    /// `CLIENT_ERROR bad data chunk`
    case badDataChunk
    /// `CLIENT_ERROR invalid exptime argument`
    case invalidExptime
    /// `CLIENT_ERROR invalid numeric delta argument`
    case invalidDelta
    /// `CLIENT_ERROR cannot increment or decrement non-numeric value`
    case nonNumericValue
    /// `CLIENT_ERROR flush_all not allowed`
    case flushNotAllowed
    /// `SERVER_ERROR object too large for cache`
    case tooLarge
    /// `SERVER_ERROR out of memory storing object`
    case outOfMemoryStoring
    /// `SERVER_ERROR out of memory`: incr and decr.
    case outOfMemory
    /// `CLIENT_ERROR authentication failure`; in binary `Auth failure.`
    case authenticationFailure
    /// `ERROR Too many open connections`
    case tooManyConnections
    /// `SERVER_ERROR: shutdown not enabled`
    case shutdownNotEnabled
    /// `CLIENT_ERROR invalid shutdown mode`
    case invalidShutdownMode

    // MARK: Replicated caches

    /// `SERVER_ERROR the log of this cache cannot be used: nothing was written`
    case logUnavailable
    /// `SERVER_ERROR the log may or may not have this change: repeat it`
    case writeOutcomeUnknown
    /// `SERVER_ERROR the change is durable, and not applied here yet`
    case writeNotApplied
    /// `SERVER_ERROR other servers change this key too often: nothing was written`
    case tooManyConflicts
    /// `CLIENT_ERROR items of a replicated cache do not expire`
    case hasNoExpiry
    /// `CLIENT_ERROR a replicated cache does not have this command`
    case notReplicated

    // MARK: Logging in

    /// `CLIENT_ERROR unauthenticated`
    case unauthenticated
    /// `CLIENT_ERROR bad authentication token format`: no space between name and password.
    case badLoginFormat
    /// `CLIENT_ERROR bad command line termination`: behind name and password.
    case badLoginTermination
    /// `CLIENT_ERROR auth token too long`
    case loginTooLong

    // MARK: Meta commands

    /// `CLIENT_ERROR invalid flag`
    case invalidFlag
    /// `CLIENT_ERROR duplicate flag`
    case duplicateFlag
    /// `CLIENT_ERROR invalid or duplicate flag`: whatever is wrong with the flags of `ma`.
    case invalidOrDuplicateFlag
    /// `CLIENT_ERROR options flags are too long`: more than 20 words.
    case tooManyFlags
    /// `CLIENT_ERROR bad token in command line format`
    case badToken
    /// `CLIENT_ERROR invalid numeric delta value`
    case invalidDeltaValue
    /// `CLIENT_ERROR invalid numeric initial value`
    case invalidInitialValue
    /// `CLIENT_ERROR opaque token too long`
    case opaqueTooLong
    /// `CLIENT_ERROR error decoding key`
    case badBase64Key
    /// `CLIENT_ERROR invalid mode for ms M token`
    case invalidStoreMode
    /// `CLIENT_ERROR invalid mode for ma M token`
    case invalidArithmeticMode
    /// `SERVER_ERROR Out of memory allocating new item`: `ma` with `N`.
    case outOfMemoryCreating

    // MARK: Statistics

    /// `ERROR`; in binary `Not found`.
    case noSuchStatistics
    /// `CLIENT_ERROR bad command line`: `stats cachedump` with too few arguments.
    case tooFewArguments
    /// `CLIENT_ERROR usage: stats detail on|off|dump`
    case detailUsage
    /// `CLIENT_ERROR stats detail not allowed`
    case detailNotAllowed
    /// `CLIENT_ERROR stats cachedump not allowed`
    case cachedumpNotAllowed
    /// `CLIENT_ERROR Illegal slab id`
    case illegalSlabClass

    // MARK: Machinery that Larder does not have

    /// `CLIENT_ERROR slab reassignment disabled`
    case slabReassignDisabled
    /// `NOSPARE source class has no spare pages`
    case noSparePages
    /// `SAME src and dst class are identical`
    case sameSlabClass
    /// `BADCLASS invalid src or dst class id`
    case badReassignClass
    /// `CLIENT_ERROR automove window too low or too high`
    case automoveWindowOutOfRange
    /// `CLIENT_ERROR lru crawler disabled`
    case crawlerDisabled
    /// `ERROR failed to start lru crawler thread`
    case crawlerNotStarted
    /// `CLIENT_ERROR sleep must be one second or less`
    case crawlerSleepTooLong
    /// `MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m`
    case memoryLimitTooSmall
    /// `MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes`
    case memoryLimitNotMegabytes
    /// `MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust`
    case memoryLimitNotAdjustable
    /// `CLIENT_ERROR watch commands not allowed`
    case watchNotAllowed
    /// `ERROR cannot pipeline other commands before watch`
    case watchNotFirst
    /// `WATCHER_TOO_MANY log watcher limit reached`
    case tooManyWatchers
    /// `ERROR metadump not allowed`
    case metadumpNotAllowed
    /// `ERROR key dump not allowed`
    case mgdumpNotAllowed
    /// `ERROR cannot pipeline other commands before metadump`
    case metadumpNotFirst
    /// `ERROR cannot pipeline other commands before mgdump`
    case mgdumpNotFirst
    /// `BUSY currently processing crawler request`
    case crawlerBusy
    /// `BADCLASS invalid class id`
    case badSlabClass
    /// `ERROR hot and warm pcts must not exceed 80`
    case lruSharesTooLarge
    /// `ERROR hot/warm age factors must be greater than 0`
    case lruFactorsNotPositive
}
