// swift-tools-version: 6.2
import PackageDescription

// A package of its own, so that whoever builds the server never builds the load generator.
let settings: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "larder-benchmarks",
    products: [
        .executable(name: "larder-bench", targets: ["larder-bench"]),
        .executable(name: "larder-floor", targets: ["larder-floor"]),
        .executable(name: "larder-readers", targets: ["larder-readers"]),
        .executable(name: "larder-replicas", targets: ["larder-replicas"]),
        .executable(name: "larder-soak", targets: ["larder-soak"]),
        // Preloaded into the server that larder-soak tests: it moves the wall clock.
        .library(name: "soak-clock", type: .dynamic, targets: ["CSoakClock"]),
    ],
    traits: [.trait(name: "Databases", description: "larder-replicas measures logs in MariaDB and PostgreSQL, too")],
    dependencies: [
        .package(
            name: "larder", path: "..",
            traits: [
                .trait(name: "MariaDB", condition: .when(traits: ["Databases"])),
                .trait(name: "PostgreSQL", condition: .when(traits: ["Databases"])),
            ])
    ],
    targets: [
        .target(name: "CBenchSystem", cSettings: [.treatAllWarnings(as: .error)]),
        .target(
            name: "CBenchTLS", cSettings: [.treatAllWarnings(as: .error)],
            linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "LoadGenerator", dependencies: ["CBenchSystem", "CBenchTLS"], swiftSettings: settings),
        .executableTarget(
            name: "larder-bench", dependencies: ["LoadGenerator", "CBenchSystem"], swiftSettings: settings),
        .executableTarget(name: "larder-floor", dependencies: ["CBenchSystem"], swiftSettings: settings),
        // Uses the store as any program outside the server's package does.
        .executableTarget(
            name: "larder-readers",
            dependencies: ["CBenchSystem", .product(name: "LarderStore", package: "larder")],
            swiftSettings: settings),
        .executableTarget(
            name: "larder-replicas",
            dependencies: [
                .product(name: "LarderReplication", package: "larder"),
                .product(name: "LarderMariaDB", package: "larder", condition: .when(traits: ["Databases"])),
                .product(name: "LarderPostgreSQL", package: "larder", condition: .when(traits: ["Databases"])),
            ],
            swiftSettings: settings),
        .target(name: "CSoakClock", cSettings: [.treatAllWarnings(as: .error)]),
        .target(
            name: "Soak", dependencies: ["LoadGenerator", "CBenchSystem", "CBenchTLS"],
            swiftSettings: settings),
        .executableTarget(name: "larder-soak", dependencies: ["Soak"], swiftSettings: settings),
        .testTarget(
            name: "LoadGeneratorTests", dependencies: ["LoadGenerator", "CBenchSystem"],
            swiftSettings: settings),
        .testTarget(name: "SoakTests", dependencies: ["Soak"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
