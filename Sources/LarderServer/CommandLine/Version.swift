/// What Larder calls itself, and whose behaviour it keeps.
package enum Version {
    /// Larder's own version.
    package static let larder = "0.1.0"
    /// When the options last changed, for the manual page.
    static let date = "November 30, 2026"
    /// The memcached whose commands, options and answers Larder gives.
    package static let memcached = "1.6.45"
    /// What `-V` prints. Scripts read the second word as memcached's version.
    package static let line = "memcached \(memcached) (Larder \(larder))\n"
}

/// memcached's exit codes (sysexits.h), kept so that init scripts read Larder's alike.
package enum ExitCode {
    /// Served and stopped, or printed what was asked for.
    package static let success: Int32 = 0
    /// A value that cannot be, an option that is not there.
    package static let badValue: Int32 = 1
    /// Options that do not go together, or that this server does not have.
    package static let usage: Int32 = 64
    /// `-u` names nobody.
    package static let unknownUser: Int32 = 67
    /// The operating system said no.
    package static let osError: Int32 = 71
}
