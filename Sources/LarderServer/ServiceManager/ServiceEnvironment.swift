import Glibc

/// The environment, from which the variables of the service manager are taken.
struct ServiceEnvironment {
    let value: (String) -> String?
    let remove: (String) -> Void

    /// The environment of the process. Call `take` before the first thread starts: the C library does not lock it.
    static var process: ServiceEnvironment {
        // SAFETY: the text is copied at once.
        ServiceEnvironment(
            value: { name in getenv(name).map { String(cString: $0) } }, remove: { name in unsetenv(name) })
    }

    /// Returns the value of a variable, and removes the variable. An empty value counts as missing.
    func take(_ name: String) -> String? {
        let text = value(name)
        remove(name)
        return text?.isEmpty == false ? text : nil
    }
}
