/// Who may talk to this server: the users of `-Y` and the certificates of `-Z`, both read when the server starts
/// and again on SIGHUP.
package struct Access: Sendable {
    /// nil: everybody may do everything.
    let authenticator: Authenticator?
    /// nil: nothing is encrypted.
    let tls: TLSEndpoint?

    /// Reads the files that the settings name.
    package init(_ settings: Settings) throws(StartupError) {
        authenticator = try Authenticator(settings)
        tls = try TLSEndpoint(settings)
    }

    /// Reads the files again. One that cannot be used changes nothing, and is worth a line of its own.
    ///
    /// - Returns: the line that says which files were read; nil: none could be.
    func reload() -> String? {
        if authenticator == nil, tls == nil { return "larder: SIGHUP: there is no file to read again" }
        var read: [String] = []
        if authenticator?.reload() == true { read.append("users") }
        if tls?.reload() == true { read.append("certificates") }
        return read.isEmpty ? nil : "larder: SIGHUP: read again: " + read.joined(separator: ", ")
    }
}
