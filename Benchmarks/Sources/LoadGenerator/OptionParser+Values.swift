/// The options that have a value, by what they are about.
extension OptionParser {
    static let valued: Set<String> = [
        "server", "port", "unix-socket", "protocol", "authenticate", "cert", "key", "cacert", "sni",
        "threads",
        "clients", "requests", "test-time", "seed", "run-count", "rate-limiting", "reconnect-interval",
        "ratio",
        "pipeline", "multi-key-get", "data-size", "data-size-range", "data-size-list", "data-size-pattern",
        "expiry-range", "client-flags", "key-prefix", "key-minimum", "key-maximum", "key-pattern", "key-zipf-exp",
        "key-stddev",
        "key-median", "out-file", "json-out-file", "svg-file", "hdr-file-prefix", "print-percentiles",
    ]

    /// Where to, how many, how long; false when the option is about something else.
    mutating func applyTarget(_ value: OptionValue) throws(OptionError) -> Bool {
        switch value.option {
        case "server": options.host = value.text
        case "port": options.port = String(try value.integer(in: 1...65535))
        case "unix-socket": options.unixSocket = value.text
        case "protocol": options.dialect = try value.dialect()
        case "authenticate": options.credentials = try value.credentials()
        case "cert": tls.certificate = value.text
        case "key": tls.key = value.text
        case "cacert": tls.authorities = value.text
        case "sni": tls.serverName = value.text
        case "threads": options.threads = try value.integer(in: 1...1024)
        case "clients": options.connections = try value.integer(in: 1...100_000)
        case "requests":
            options.requests =
                value.text == "allkeys" ? .allKeys : .number(try value.integer(in: 1...1_000_000_000_000))
        case "test-time": options.seconds = try value.decimal(in: 0.01...10_000_000)
        case "seed": options.seed = UInt64(try value.integer(in: 0...Int.max))
        case "run-count": options.runCount = try value.integer(in: 1...10_000)
        case "rate-limiting": options.ratePerConnection = try value.integer(in: 1...100_000_000)
        case "reconnect-interval": options.reconnectInterval = try value.integer(in: 0...1_000_000_000)
        default: return false
        }
        return true
    }

    /// Which keys.
    mutating func applyKeys(_ value: OptionValue) throws(OptionError) -> Bool {
        switch value.option {
        case "key-prefix": options.keyPrefix = value.text
        case "key-minimum": keyMinimum = UInt64(try value.integer(in: 0...OptionValue.keyMax))
        case "key-maximum": keyMaximum = UInt64(try value.integer(in: 0...OptionValue.keyMax))
        case "key-pattern": (options.setPattern, options.getPattern) = try value.patterns()
        case "key-zipf-exp": options.zipfExponent = try value.decimal(in: 0.01...5)
        case "key-stddev": options.keyDeviation = try value.decimal(in: 0.001...Double(OptionValue.keyMax))
        case "key-median": options.keyMedian = try value.decimal(in: 0...Double(OptionValue.keyMax))
        default: return false
        }
        return true
    }

    /// What goes where.
    mutating func applyFile(_ value: OptionValue) -> Bool {
        switch value.option {
        case "out-file": options.outFile = value.text
        case "json-out-file": options.jsonFile = value.text
        case "svg-file": options.svgFile = value.text
        case "hdr-file-prefix": options.histogramPrefix = value.text
        default: return false
        }
        return true
    }

    /// What is sent, and which percentiles are of interest.
    mutating func applyTraffic(_ value: OptionValue) throws(OptionError) {
        if value.option.hasPrefix("data-size") && value.option != "data-size-pattern" {
            sizeOptions.insert(value.option)
        }
        switch value.option {
        case "ratio":
            (options.setRatio, options.getRatio) = try value.pair(separator: ":", in: 0...1_000_000)
        case "pipeline": options.pipeline = try value.integer(in: 1...65536)
        // memtier's 0 and 1 are both plain gets.
        case "multi-key-get": options.keysPerGet = max(1, try value.integer(in: 0...65536))
        case "data-size":
            let size = try value.integer(in: 1...OptionValue.sizeMax)
            options.dataSize = size...size
        case "data-size-range": options.dataSize = try value.range(in: 1...OptionValue.sizeMax)
        case "data-size-list":
            options.sizeWeights = try value.sizeWeights()
            let sizes = options.sizeWeights.map(\.size)
            options.dataSize = (sizes.min() ?? 1)...(sizes.max() ?? 1)
        case "data-size-pattern":
            guard let pattern = value.text.first.flatMap(SizePattern.init(rawValue:)), value.text.count == 1
            else {
                throw value.refusal("R (at random) or S (growing with the key)")
            }
            options.sizePattern = pattern
        case "client-flags": options.clientFlags = UInt32(try value.integer(in: 0...Int(UInt32.max)))
        case "expiry-range": options.expiry = try value.range(in: 0...Int(Int32.max))
        default: options.percentiles = try value.percentiles()
        }
    }
}
