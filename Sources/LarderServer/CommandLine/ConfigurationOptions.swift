extension Option {
    static let configuration: [Option] = [
        Option(
            long: "config", .required("FILE"), .process,
            "read options from this file, one a line, such as\nmemory-limit 64 (docs/configuration.md)",
            effect: { draft, text throws(Ending) in
                guard !text.isEmpty else { throw .usage("--config takes the path of a file.") }
            }),
        Option(
            long: "check-config", .none, .process,
            "print every setting and where it was given, and exit;\nexit code 64 after a mistake",
            effect: { draft, _ in draft.onlyChecks = true }),
    ]
}
