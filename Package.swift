// swift-tools-version: 6.2
import PackageDescription

// Which target may import which is ARCHITECTURE.md's table; the build checks it
// (`--explicit-target-dependency-import-check error`).
let settings: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]
// The tests compute for minutes in these targets. `make` has them optimised in debug builds, too, with all assertions.
let engineSettings =
    settings
    + (Context.environment["LARDER_OPTIMIZED_DEBUG"] == nil
        ? [] : [.unsafeFlags(["-O", "-assert-config", "Debug"], .when(configuration: .debug))])
let cSettings: [CSetting] = [.treatAllWarnings(as: .error)]

/// A product that only the client's targets use. A build of the server without the trait does not resolve it.
func clientProduct(_ name: String, package: String) -> Target.Dependency {
    .product(name: name, package: package, condition: .when(traits: ["Client"]))
}

/// The logs in databases, as far as their traits are enabled.
let databaseLogs: [Target.Dependency] = [
    .target(name: "LarderMariaDB", condition: .when(traits: ["MariaDB"])),
    .target(name: "LarderPostgreSQL", condition: .when(traits: ["PostgreSQL"])),
]

let package = Package(
    name: "larder",
    products: [
        .executable(name: "larder", targets: ["larder"]),
        .library(name: "LarderStore", targets: ["LarderStore"]),
        .library(name: "LarderReplication", targets: ["LarderReplication"]),
        .library(name: "LarderClient", targets: ["LarderClient"]),
        .library(name: "LarderTestServer", targets: ["LarderTestServer"]),
        // Behind traits: who does not ask for them resolves and builds nothing for them.
        .library(name: "LarderMariaDB", targets: ["LarderMariaDB"]),
        .library(name: "LarderPostgreSQL", targets: ["LarderPostgreSQL"]),
        .executable(name: "larder-log", targets: ["larder-log"]),
        .library(name: "LarderHummingbird", targets: ["LarderHummingbird"]),
        .library(name: "LarderGRDB", targets: ["LarderGRDB"]),
        .executable(name: "qsets-demo", targets: ["qsets-demo"]),
        .executable(name: "replicated-demo", targets: ["replicated-demo"]),
    ],
    // Who needs none of these resolves and builds none of them.
    traits: [
        .default(enabledTraits: ["Client"]),
        .trait(name: "Client", description: "LarderClient; the server and LarderStore build without it"),
        .trait(name: "GRDB", description: "LarderGRDB: models of a database, read through a cache"),
        .trait(name: "MariaDB", description: "LarderMariaDB: logs of replicated caches in MariaDB or MySQL"),
        .trait(name: "PostgreSQL", description: "LarderPostgreSQL: logs of replicated caches in PostgreSQL"),
        .trait(name: "Hummingbird", description: "LarderHummingbird: Hummingbird's PersistDriver"),
        .trait(name: "ServiceLifecycle", description: "the client's connections and pools as services of a group"),
        .trait(name: "Configuration", description: "the client's configuration out of swift-configuration"),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-distributed-tracing.git", from: "1.7.3"),
        // Behind traits.
        .package(url: "https://github.com/groue/GRDB.swift.git", from: "7.10.0"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0"),
    ],
    targets: [
        .systemLibrary(name: "CLibevent", pkgConfig: "libevent", providers: [.apt(["libevent-dev"])]),
        .systemLibrary(name: "CMariaDB", pkgConfig: "libmariadb", providers: [.apt(["libmariadb-dev"])]),
        .systemLibrary(name: "CPostgreSQL", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
        .systemLibrary(name: "CZlib", providers: [.apt(["zlib1g-dev"])]),
        .target(name: "CLarderArena", cSettings: cSettings),
        .target(name: "CLarderSystem", cSettings: cSettings),
        .target(name: "CLarderTLS", cSettings: cSettings),
        .target(name: "CLarderResolver", cSettings: cSettings, linkerSettings: [.linkedLibrary("resolv")]),
        .target(name: "CLarderDigest", cSettings: cSettings, linkerSettings: [.linkedLibrary("crypto")]),
        .target(name: "LarderStore", dependencies: ["CLarderArena"], swiftSettings: engineSettings),
        .target(
            name: "LarderReplication", dependencies: ["LarderStore", "CLarderArena"], swiftSettings: engineSettings),
        .target(
            name: "LarderMariaDB",
            dependencies: [
                "LarderReplication", .target(name: "CMariaDB", condition: .when(traits: ["MariaDB"])),
            ],
            swiftSettings: settings),
        .target(
            name: "LarderPostgreSQL",
            dependencies: [
                "LarderReplication", .target(name: "CPostgreSQL", condition: .when(traits: ["PostgreSQL"])),
            ],
            swiftSettings: settings),
        // `larder log` runs it.
        .executableTarget(
            name: "larder-log", dependencies: ["LarderReplication"] + databaseLogs, swiftSettings: settings),
        // The Swift service of docker/compose.replicated.yaml.
        .executableTarget(
            name: "replicated-demo", dependencies: ["LarderReplication"] + databaseLogs, swiftSettings: settings),
        // Not a product: the tests start and kill it.
        .executableTarget(
            name: "replication-probe", dependencies: ["LarderReplication"] + databaseLogs,
            path: "Tests/ReplicationProbe", swiftSettings: settings),
        .target(name: "CLarderWire", cSettings: cSettings),
        .target(name: "LarderWire", dependencies: ["CLarderWire"], swiftSettings: engineSettings),
        .target(name: "LarderEventLoop", dependencies: ["CLibevent", "CLarderSystem"], swiftSettings: settings),
        .target(name: "LarderTLS", dependencies: ["CLarderTLS"], swiftSettings: settings),
        .target(
            name: "LarderServer",
            dependencies: [
                "LarderWire", "LarderStore", "LarderReplication", "LarderEventLoop", "LarderTLS", "CLarderSystem",
            ],
            swiftSettings: engineSettings),
        .executableTarget(
            name: "larder", dependencies: ["LarderServer", "LarderTLS", "LarderReplication"] + databaseLogs,
            swiftSettings: settings),
        .target(
            name: "LarderClient",
            dependencies: [
                "LarderStore",
                "LarderWire",
                "CZlib",
                "CLarderResolver",
                "CLarderDigest",
                clientProduct("NIOCore", package: "swift-nio"),
                clientProduct("NIOPosix", package: "swift-nio"),
                clientProduct("NIOSSL", package: "swift-nio-ssl"),
                clientProduct("Logging", package: "swift-log"),
                clientProduct("Metrics", package: "swift-metrics"),
                clientProduct("Tracing", package: "swift-distributed-tracing"),
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])),
                .product(
                    name: "Configuration", package: "swift-configuration", condition: .when(traits: ["Configuration"])),
            ],
            swiftSettings: settings),
        .target(
            name: "LarderGRDB",
            dependencies: [
                "LarderClient",
                .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["GRDB"])),
            ],
            swiftSettings: settings),
        // The Django example in Swift, over SQLite.
        .executableTarget(
            name: "qsets-demo",
            dependencies: [
                "LarderClient", "LarderGRDB", "CLarderSystem",
                .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["GRDB"])),
                clientProduct("Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .target(
            name: "LarderHummingbird",
            dependencies: [
                "LarderClient",
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Hummingbird"])),
            ],
            swiftSettings: settings),
        .target(
            name: "LarderTestServer", dependencies: ["LarderClient", "LarderServer"], swiftSettings: settings),
        // Not a product: Tests/Clients holds other clients against it.
        .executableTarget(
            name: "client-probe", dependencies: ["LarderClient", "CLarderSystem"], path: "Tests/ClientProbe",
            swiftSettings: settings),
        .target(
            name: "LarderTesting", dependencies: ["LarderStore", "LarderWire", "LarderTLS"],
            swiftSettings: engineSettings),
        // Not a product: `make test-model` and CI run it.
        .executableTarget(
            name: "larder-model", dependencies: ["LarderTesting", "CLarderSystem"], swiftSettings: settings),
        // Not a product: `make hitratio` runs it. It replays requests at times of its own, as only this package can.
        .executableTarget(
            name: "larder-hits", dependencies: ["LarderStore", "LarderTesting", "CLarderSystem"],
            swiftSettings: settings),
        // Not a product: `make fuzz` and CI run it.
        .executableTarget(
            name: "larder-fuzz",
            dependencies: ["LarderServer", "LarderStore", "LarderWire", "LarderTesting", "CLarderArena"],
            swiftSettings: settings),
        .testTarget(
            name: "LarderStoreTests", dependencies: ["LarderStore", "LarderTesting", "CLarderArena"],
            swiftSettings: settings),
        .testTarget(
            name: "LarderReplicationTests",
            dependencies: ["LarderReplication", "LarderStore", "LarderTesting", "replication-probe", "larder-log"]
                + databaseLogs,
            swiftSettings: settings),
        .testTarget(name: "LarderWireTests", dependencies: ["LarderWire", "LarderTesting"], swiftSettings: settings),
        .testTarget(name: "LarderTLSTests", dependencies: ["LarderTLS", "LarderTesting"], swiftSettings: settings),
        .testTarget(
            name: "LarderEventLoopTests", dependencies: ["LarderEventLoop", "CLarderSystem"],
            swiftSettings: settings),
        .testTarget(
            name: "LarderClientTests",
            dependencies: [
                "LarderClient", "LarderStore", "LarderTesting", "LarderTestServer",
                clientProduct("NIOCore", package: "swift-nio"),
                clientProduct("NIOSSL", package: "swift-nio-ssl"),
                clientProduct("Logging", package: "swift-log"),
                clientProduct("MetricsTestKit", package: "swift-metrics"),
                clientProduct("Tracing", package: "swift-distributed-tracing"),
                clientProduct("InMemoryTracing", package: "swift-distributed-tracing"),
                .product(
                    name: "ServiceLifecycle", package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])),
                .product(
                    name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle",
                    condition: .when(traits: ["ServiceLifecycle"])),
                .product(
                    name: "Configuration", package: "swift-configuration", condition: .when(traits: ["Configuration"])),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LarderHummingbirdTests",
            dependencies: [
                "LarderHummingbird", "LarderClient", "LarderTestServer",
                .product(name: "Hummingbird", package: "hummingbird", condition: .when(traits: ["Hummingbird"])),
                .product(
                    name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle",
                    condition: .when(traits: ["Hummingbird"])),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LarderTestServerTests",
            dependencies: [
                "LarderTestServer", "LarderClient", clientProduct("Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LarderGRDBTests",
            dependencies: [
                "LarderClient", "LarderGRDB", "LarderTestServer", "LarderTesting",
                .product(name: "GRDB", package: "GRDB.swift", condition: .when(traits: ["GRDB"])),
                clientProduct("Logging", package: "swift-log"),
            ],
            swiftSettings: settings),
        .testTarget(
            name: "LarderServerTests",
            dependencies: [
                "LarderServer", "LarderStore", "LarderWire", "LarderEventLoop", "LarderTLS", "LarderTesting",
                "CLarderSystem",
            ],
            swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)

// Swift Package Index documents what stands behind traits, too.
if Context.environment["SPI_GENERATE_DOCS"] != nil {
    package.traits.insert(.default(enabledTraits: Set(package.traits.map(\.name))))
}
