#if Configuration
    import Configuration

    /// Settings out of a configuration, whatever form its providers give them: environment variables and arguments are
    /// texts, JSON has numbers too. What is missing is nil; what is wrong is an error that names the key, what it says and
    /// what it may say.
    struct SettingReader {
        let reader: ConfigReader

        /// The largest span: some thirty years.
        private static let secondsMax = 1e9

        func text(_ key: String, isSecret: Bool = false) throws(CacheError) -> String? {
            let name = ConfigKey(key)
            if let text = reader.string(forKey: name, isSecret: isSecret) { return text }
            if let number = reader.int(forKey: name, isSecret: isSecret) { return String(number) }
            if let number = reader.double(forKey: name, isSecret: isSecret) { return String(number) }
            if let truth = reader.bool(forKey: name, isSecret: isSecret) { return String(truth) }
            let isList =
                reader.stringArray(forKey: name, isSecret: isSecret) != nil
                || reader.intArray(forKey: name, isSecret: isSecret) != nil
            guard !isList else { throw wrong(key, "a list", "one value") }
            return nil
        }

        /// A list, or texts between commas.
        func texts(_ key: String) throws(CacheError) -> [String]? {
            if let list = reader.stringArray(forKey: ConfigKey(key)) { return list.map(Self.trimmed) }
            return try text(key)?.split(separator: ",").map { Self.trimmed(String($0)) }
        }

        /// - Parameter allowsZero: nothing is an answer too.
        func seconds(_ key: String, allowsZero: Bool = false) throws(CacheError) -> Duration? {
            let allowed = allowsZero ? "seconds, 0 or more" : "seconds, more than 0"
            return try parsed(key, allowed + ", such as 0.5") { text in
                guard let seconds = Double(text), seconds <= Self.secondsMax,
                    allowsZero ? seconds >= 0 : seconds > 0
                else { return nil }
                return Duration.seconds(seconds)
            }
        }

        func number(_ key: String, in range: ClosedRange<Int>) throws(CacheError) -> Int? {
            try parsed(key, "a whole number from \(range.lowerBound) to \(range.upperBound)") { text in
                Int(text).flatMap { range.contains($0) ? $0 : nil }
            }
        }

        func part(_ key: String) throws(CacheError) -> Double? {
            try parsed(key, "a number from 0 to 1") { text in
                Double(text).flatMap { (0...1).contains($0) ? $0 : nil }
            }
        }

        func truth(_ key: String) throws(CacheError) -> Bool? {
            try choice(
                key,
                [
                    ("true", true), ("false", false), ("yes", true), ("no", false), ("1", true), ("0", false),
                ])
        }

        func choice<Value>(_ key: String, _ choices: [(name: String, value: Value)]) throws(CacheError)
            -> Value?
        {
            let names = choices.map(\.name).joined(separator: ", ")
            return try parsed(key, "one of \(names)") { text in
                choices.first { $0.name.lowercased() == text.lowercased() }?.value
            }
        }

        func wrong(_ key: String, _ text: String, _ allowed: String, underlying: (any Error)? = nil)
            -> CacheError
        {
            let cause = underlying.map { ": \($0)" } ?? ""
            return CacheError(
                .badConfiguration, "\(key) is \(text), and takes \(allowed)\(cause)", underlying: underlying)
        }

        private func parsed<Value>(
            _ key: String, _ allowed: String, _ parse: (String) -> Value?
        ) throws(CacheError) -> Value? {
            guard let text = try text(key) else { return nil }
            guard let value = parse(Self.trimmed(text)) else {
                throw wrong(key, text.debugDescription, allowed)
            }
            return value
        }

        private static func trimmed(_ text: String) -> String {
            var text = text[...]
            while text.first?.isWhitespace == true { text.removeFirst() }
            while text.last?.isWhitespace == true { text.removeLast() }
            return String(text)
        }
    }
#endif
