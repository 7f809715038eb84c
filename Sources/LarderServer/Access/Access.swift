/// Who may talk to this server: the users of `-Y` and the certificates of `-Z`, both read when the server starts
/// and again on SIGHUP; or the users of the SASL library.
package struct Access: Sendable {
    /// nil: everybody may do everything.
    let authenticator: Authenticator?
    /// nil: the users of `-S`, if there are any, are those of `authenticator`.
    let sasl: SASLService?
    /// nil: nothing is encrypted.
    let tls: TLSEndpoint?

    /// Reads the files that the settings name.
    package init(_ settings: Settings) throws(StartupError) {
        authenticator = try Authenticator(settings)
        sasl = try SASLService(settings)
        tls = try TLSEndpoint(settings)
    }

    /// Reads the files again. One that cannot be used changes nothing, and is worth a line of its own.
    ///
    /// - Parameter userEntry: the one user of the settings as they are now.
    /// - Returns: what was read.
    func reload(userEntry: String?) -> [String] {
        var read: [String] = []
        if authenticator?.reload(userEntry: userEntry) == true { read.append("users") }
        if tls?.reload() == true { read.append("certificates") }
        return read
    }

    /// Whether there is anything to read again.
    var hasFiles: Bool { authenticator != nil || tls != nil }
}
