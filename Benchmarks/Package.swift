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
    products: [.executable(name: "larder-bench", targets: ["larder-bench"])],
    targets: [
        .target(name: "CBenchSystem", cSettings: [.treatAllWarnings(as: .error)]),
        .target(name: "LoadGenerator", dependencies: ["CBenchSystem"], swiftSettings: settings),
        .executableTarget(name: "larder-bench", dependencies: ["LoadGenerator"], swiftSettings: settings),
        .testTarget(
            name: "LoadGeneratorTests", dependencies: ["LoadGenerator"], swiftSettings: settings),
    ],
    swiftLanguageModes: [.v6]
)
