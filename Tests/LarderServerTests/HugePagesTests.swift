import Testing

@testable import LarderServer

@Suite struct HugePagesTests {
    @Test(arguments: ["always [madvise] never\n", "[always] madvise never\n"])
    func areThere(setting: String) throws { try HugePages.check(setting) }

    @Test(arguments: [nil, "", "always madvise [never]\n"])
    func areNotThere(setting: String?) {
        let error = #expect(throws: StartupError.self) { try HugePages.check(setting) }
        #expect(error?.exitCode == 1)
        #expect(error?.message.contains("Cannot enable large pages on this system") == true)
    }
}
