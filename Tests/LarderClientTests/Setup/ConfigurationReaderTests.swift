#if Configuration
    import Configuration
    import LarderTesting
    import Testing

    @testable import LarderClient

    @Suite struct ConfigurationReaderTests {
        private func reader(_ values: [AbsoluteConfigKey: ConfigValue]) -> ConfigReader {
            ConfigReader(provider: InMemoryProvider(values: values))
        }

        private func read(_ values: [AbsoluteConfigKey: ConfigValue]) throws(CacheError)
            -> ConnectionConfiguration
        {
            try ConnectionConfiguration(reader: reader(values))
        }

        @Test func withoutAnythingItIsTheUsual() throws {
            let read = try read([:])
            let usual = ConnectionConfiguration()
            #expect(read.onFailure == usual.onFailure)
            #expect(read.connectTimeout == usual.connectTimeout)
            #expect(read.requestTimeout == usual.requestTimeout)
            #expect(read.idleTimeout == usual.idleTimeout)
            #expect(read.backoff == usual.backoff)
            #expect(read.valueBytesMax == usual.valueBytesMax)
            #expect(read.authentication == nil)
            guard case .plain = read.security else {
                Issue.record("\(read.security)")
                return
            }
        }

        /// As JSON has it, with numbers.
        @Test func valuesOfTheirOwnTypes() throws {
            let read = try read([
                "onFailure": "miss", "connectTimeout": 2, "requestTimeout": 0.25, "idleTimeout": 60,
                "backoff.initial": 0, "backoff.longest": 30, "backoff.jitter": 0.1, "valueBytesMax": 1000,
                "authentication.user": "ana", "authentication.password": "secret",
            ])
            #expect(read.onFailure == .miss)
            #expect(read.connectTimeout == .seconds(2))
            #expect(read.requestTimeout == .milliseconds(250))
            #expect(read.idleTimeout == .seconds(60))
            #expect(read.backoff == Backoff(initial: .zero, longest: .seconds(30), jitter: 0.1))
            #expect(read.valueBytesMax == 1000)
            #expect(read.authentication == .ascii(user: "ana", password: "secret"))
        }

        /// As the environment has it, behind a scope.
        @Test func valuesAsTexts() throws {
            let provider = EnvironmentVariablesProvider(environmentVariables: [
                "MEMCACHED_ON_FAILURE": "Throw", "MEMCACHED_CONNECT_TIMEOUT": " 1.5 ",
                "MEMCACHED_IDLE_TIMEOUT": "0", "MEMCACHED_BACKOFF_JITTER": "1",
                "MEMCACHED_VALUE_BYTES_MAX": "5",
                "MEMCACHED_TLS_ENABLED": "no", "REQUEST_TIMEOUT": "7",
            ])
            let reader = ConfigReader(provider: provider).scoped(to: "memcached")
            let read = try ConnectionConfiguration(reader: reader)
            #expect(read.onFailure == .throw)
            #expect(read.connectTimeout == .milliseconds(1500))
            #expect(read.requestTimeout == ConnectionConfiguration().requestTimeout)
            #expect(read.idleTimeout == nil)
            #expect(read.backoff.jitter == 1)
            #expect(read.valueBytesMax == 5)
        }

        static let wrong: [(key: String, value: ConfigValue, allowed: String)] = [
            ("onFailure", "ignore", "one of miss, throw"), ("onFailure", 5, "one of miss, throw"),
            ("connectTimeout", "soon", "seconds"), ("connectTimeout", 0, "more than 0"),
            ("requestTimeout", -1, "more than 0"), ("requestTimeout", "nan", "seconds"),
            ("requestTimeout", "inf", "seconds"), ("requestTimeout", "1e300", "seconds"),
            ("requestTimeout", "", "seconds"), ("requestTimeout", true, "seconds"),
            ("requestTimeout", "5s", "seconds"), ("idleTimeout", -0.5, "0 or more"),
            ("backoff.initial", "x", "seconds"), ("backoff.longest", "x", "seconds"),
            ("backoff.jitter", 1.5, "from 0 to 1"), ("backoff.jitter", "half", "from 0 to 1"),
            ("valueBytesMax", 0, "from 1 to"), ("valueBytesMax", 1.5, "whole number"),
            ("valueBytesMax", "64m", "whole number"), ("tls.enabled", "maybe", "true, false"),
            ("dialect", "text", "one of meta, binary"),
            ("connectTimeout", ConfigValue(.stringArray(["1"]), isSecret: false), "one value"),
        ]

        @Test(arguments: wrong.indices)
        func whatIsWrongIsNamed(number: Int) {
            let (key, value, allowed) = Self.wrong[number]
            let error = #expect(throws: CacheError.self) {
                try read([AbsoluteConfigKey(ConfigKey(key)): value])
            }
            #expect(error?.code == .badConfiguration)
            let message = error?.message ?? ""
            #expect(message.contains(key), "\(message)")
            #expect(message.contains(allowed), "\(message)")
        }

        @Test func halfALoginIsAnErrorThatDoesNotTellThePassword() {
            let noPassword = #expect(throws: CacheError.self) { try read(["authentication.user": "ana"]) }
            #expect(noPassword?.message.contains("authentication.password") == true)
            let noUser = #expect(throws: CacheError.self) { try read(["authentication.password": "hush"]) }
            #expect(noUser?.message.contains("authentication.user") == true)
            #expect(noUser?.message.contains("hush") == false)
            let onlyMethod = #expect(throws: CacheError.self) { try read(["authentication.method": "sasl"]) }
            #expect(onlyMethod?.message.contains("authentication.user") == true)
        }

        @Test func theLoginsWay() throws {
            let login: [AbsoluteConfigKey: ConfigValue] = [
                "authentication.user": "ana", "authentication.password": "secret", "dialect": "binary",
            ]
            let read = try read(login.merging(["authentication.method": "SASL"]) { first, _ in first })
            #expect(read.authentication == .sasl(user: "ana", password: "secret"))
            #expect(read.dialect == .binary)
            let error = #expect(throws: CacheError.self) {
                try self.read(login.merging(["authentication.method": "digest"]) { first, _ in first })
            }
            #expect(error?.message.contains("ascii, sasl") == true)
        }

        // MARK: TLS

        @Test func tlsWithAllOfIt() throws {
            let read = try read([
                "tls.enabled": true, "tls.serverName": "cache.example", "tls.verification": "noHostname",
            ])
            guard case .tls(_, let serverName) = read.security else {
                Issue.record("\(read.security)")
                return
            }
            #expect(serverName == "cache.example")
        }

        @Test(arguments: [
            "tls.serverName", "tls.verification", "tls.trustRoots", "tls.certificateChain", "tls.privateKey",
        ])
        func keysOfTLSWithoutTLSAreAnError(key: String) {
            for isOff in [false, true] {
                var values: [AbsoluteConfigKey: ConfigValue] = [AbsoluteConfigKey(ConfigKey(key)): "full"]
                if isOff { values["tls.enabled"] = false }
                let error = #expect(throws: CacheError.self) { try read(values) }
                #expect(error?.message.contains("tls.enabled") == true)
                #expect(error?.message.contains(key) == true)
            }
        }

        @Test(
            arguments: [
                (["tls.verification": "some"], "tls.verification"),
                (["tls.trustRoots": "/nowhere/ca.pem"], "tls.trustRoots"),
                (["tls.certificateChain": "/nowhere/c.pem"], "tls.privateKey"),
                (["tls.privateKey": "/nowhere/k.pem"], "tls.certificateChain"),
                (
                    ["tls.certificateChain": "/nowhere/c.pem", "tls.privateKey": "/nowhere/k.pem"],
                    "tls.certificateChain"
                ),
            ] as [([String: String], String)])
        func whatIsWrongAboutTLSIsNamed(values: [String: String], key: String) {
            var all: [AbsoluteConfigKey: ConfigValue] = ["tls.enabled": true]
            for (key, value) in values {
                all[AbsoluteConfigKey(ConfigKey(key))] = ConfigValue(stringLiteral: value)
            }
            let error = #expect(throws: CacheError.self) { try read(all) }
            #expect(error?.code == .badConfiguration)
            #expect(error?.message.contains(key) == true, "\(error?.message ?? "")")
        }

        // MARK: Servers

        @Test func addresses() throws {
            #expect(try ServerAddress(reader: reader(["host": "a"])) == .host("a", port: 11211))
            #expect(try ServerAddress(reader: reader(["host": "a", "port": 5])) == .host("a", port: 5))
            #expect(try ServerAddress(reader: reader(["host": "a", "port": "6"])) == .host("a", port: 6))
            #expect(try ServerAddress(reader: reader(["unixSocket": "/s"])) == .unixSocket(path: "/s"))
        }

        @Test(
            arguments: [
                ([:], "host"), (["host": ""], "host"), (["unixSocket": ""], "unixSocket"),
                (["host": "a", "unixSocket": "/s"], "unixSocket"),
                (["unixSocket": "/s", "port": "5"], "port"),
                (["host": "a", "port": "0"], "port"), (["host": "a", "port": "65536"], "port"),
            ] as [([String: String], String)])
        func addressesThatAreNone(values: [String: String], key: String) {
            var all: [AbsoluteConfigKey: ConfigValue] = [:]
            for (key, value) in values {
                all[AbsoluteConfigKey(ConfigKey(key))] = ConfigValue(stringLiteral: value)
            }
            let error = #expect(throws: CacheError.self) { try ServerAddress(reader: reader(all)) }
            #expect(error?.code == .badConfiguration)
            #expect(error?.message.hasPrefix(key + " ") == true, "\(error?.message ?? "")")
        }

        @Test func groups() throws {
            let texts = "a, b:5,[::1], [::1]:7=3 ,/run/s=2"
            let expected = [
                GroupMember(.host("a")), GroupMember(.host("b", port: 5)), GroupMember(.host("::1")),
                GroupMember(.host("::1", port: 7), weight: 3),
                GroupMember(.unixSocket(path: "/run/s"), weight: 2),
            ]
            let group = try ServerGroup(
                reader: reader([
                    "servers": ConfigValue(stringLiteral: texts), "distribution": "ketamaWeighted",
                    "connectionsPerServer": 4, "requestTimeout": 3,
                ])
            ) { $0.idleTimeout = .seconds(9) }
            #expect(group.members == expected)
            #expect(group.distribution == .ketamaWeighted)
            #expect(group.configuration.requestTimeout == .seconds(3))
            #expect(group.configuration.idleTimeout == .seconds(9))
            let list = ConfigValue(.stringArray(["x:1", "y:2"]), isSecret: false)
            let other = try ServerGroup(reader: reader(["servers": list]))
            #expect(other.members == [GroupMember(.host("x", port: 1)), GroupMember(.host("y", port: 2))])
            #expect(other.distribution == .ketama())
        }

        @Test(arguments: [
            "", "a:", "a:0", "a:x", ":5", "[::1", "[::1]5", "[]:5", "a=", "a=-1", "a=x", "a,=1",
        ])
        func serversThatAreNone(text: String) {
            let error = #expect(throws: CacheError.self) {
                try ServerGroup(reader: reader(["servers": ConfigValue(stringLiteral: text)]))
            }
            #expect(error?.message.hasPrefix("servers ") == true, "\(error?.message ?? "")")
            #expect(error?.message.contains("host:port") == true)
        }

        @Test func aDistributionThatIsNone() {
            let error = #expect(throws: CacheError.self) {
                try ServerGroup(reader: reader(["servers": "a", "distribution": "modulo"]))
            }
            #expect(error?.message.contains("ketama, ketamaWeighted, rendezvous, jump") == true)
            #expect(throws: CacheError.self) { try ServerGroup(reader: reader([:])) }
        }
    }
#endif
