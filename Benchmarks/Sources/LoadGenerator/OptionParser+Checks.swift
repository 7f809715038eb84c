extension OptionParser {
    /// The options, once those that depend on each other agree.
    func checked() throws(OptionError) -> Options {
        var options = options
        try checkKeys(&options)
        try checkAccess(&options)
        guard options.setRatio + options.getRatio > 0 else {
            throw OptionError(message: "--ratio 0:0 sends nothing")
        }
        guard sizeOptions.count <= 1 else {
            let names = sizeOptions.sorted().map { "--" + $0 }.joined(separator: " and ")
            throw OptionError(message: "\(names) exclude each other")
        }
        guard options.sizePattern == .random || sizeOptions == ["data-size-range"] else {
            throw OptionError(message: "--data-size-pattern S needs --data-size-range")
        }
        guard options.pipeline * (options.dataSize.upperBound + 300) <= 1 << 32 else {
            throw OptionError(message: "--pipeline times --data-size is more than 4 GB")
        }
        guard options.pipeline * options.keysPerGet <= 1 << 24 else {
            throw OptionError(message: "--pipeline times --multi-key-get is more than 16 million keys")
        }
        if options.requests != nil && options.seconds != nil {
            throw OptionError(message: "--requests and --test-time exclude each other")
        }
        if options.requests == nil && options.seconds == nil { options.requests = .number(10_000) }
        return options
    }

    private func checkKeys(_ options: inout Options) throws(OptionError) {
        guard keyMinimum <= keyMaximum else {
            throw OptionError(message: "--key-minimum is above --key-maximum")
        }
        options.keys = keyMinimum...keyMaximum
        guard options.keyPrefix.utf8.allSatisfy({ $0 > 0x20 && $0 != 0x7f }) else {
            throw OptionError(message: "--key-prefix must not hold spaces or control characters")
        }
        guard options.keyPrefix.utf8.count + String(keyMaximum).utf8.count <= 250 else {
            throw OptionError(message: "--key-prefix: a key has at most 250 bytes, the number included")
        }
        // A median elsewhere, or a wider bell, would be cut off so far that hardly a number fits.
        if let median = options.keyMedian, median < Double(keyMinimum) || median > Double(keyMaximum) {
            throw OptionError(message: "--key-median is not between --key-minimum and --key-maximum")
        }
        if let deviation = options.keyDeviation, deviation > Double(keyMaximum - keyMinimum) + 1 {
            throw OptionError(message: "--key-stddev is wider than the range of keys")
        }
    }

    private func checkAccess(_ options: inout Options) throws(OptionError) {
        if wantsTLS {
            guard (tls.certificate == nil) == (tls.key == nil) else {
                throw OptionError(message: "--cert and --key go together")
            }
            options.tls = tls
        } else if tls != Options.TLS() {
            throw OptionError(message: "--cert, --key, --cacert, --sni and --tls-skip-verify need --tls")
        }
        guard let credentials = options.credentials else { return }
        // In the text protocol both are one value of a set, with a space between them.
        let isText = options.dialect != .binary
        guard
            !isText
                || !(credentials.user + credentials.password).utf8.contains(where: { $0 == 0x20 || $0 < 0x20 }
                )
        else {
            throw OptionError(
                message: "--authenticate: no spaces or control characters, but with memcache_binary")
        }
        guard credentials.user.utf8.count + credentials.password.utf8.count <= 200 else {
            throw OptionError(message: "--authenticate: user and password have at most 200 bytes")
        }
    }
}
