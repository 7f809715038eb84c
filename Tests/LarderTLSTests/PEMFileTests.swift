import Glibc
import LarderTesting
import Testing

@testable import LarderTLS

/// Files of certificates and keys that are cut off.
@Suite struct PEMFileTests {
    private static func contents(_ path: String) throws -> [UInt8] {
        let file = try #require(fopen(path, "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 64 << 10)
        // SAFETY: at most the array's own length is read into it.
        let count = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<count])
    }

    private static func write(_ bytes: [UInt8], to path: String) throws {
        let file = try #require(fopen(path, "w"))
        // SAFETY: the array has that many bytes.
        fwrite(bytes, 1, bytes.count, file)
        fclose(file)
    }

    private static func isTaken(_ change: (inout TLSConfiguration) -> Void) throws -> Bool {
        let certificate = try TestCertificate.shared.get()
        var configuration = TLSConfiguration()
        configuration.chainPath = certificate.chainPath
        configuration.keyPath = certificate.keyPath
        change(&configuration)
        return (try? TLSContext(configuration)) != nil
    }

    enum Kind: CaseIterable {
        case chain, chainAndKey, key, authorities
    }

    /// Every cut is refused, except those directly after a block, with or without its line end: such a file is
    /// complete.
    @Test(arguments: Kind.allCases) func everyCut(kind: Kind) throws {
        let path = try TestDirectory.make() + "/file.pem"
        let first = try TestCertificate.shared.get()
        let other = try TestCertificate()
        let certificate = try Self.contents(first.chainPath)
        let key = try Self.contents(first.keyPath)
        let blocks: [[UInt8]] =
            switch kind {
            case .chain: [certificate, try Self.contents(other.chainPath)]
            case .chainAndKey: [key, certificate, try Self.contents(other.chainPath)]
            case .key: [key]
            case .authorities: [certificate, try Self.contents(other.chainPath), certificate]
            }
        let ends = blocks.indices.map { blocks[...$0].joined().count }
        let areWhole = Set(ends.flatMap { [$0 - 1, $0] })
        let whole = Array(blocks.joined())
        for count in 0...whole.count {
            let fault = PEMFile(contents: Array(whole[..<count])).fault
            #expect((fault == nil) == areWhole.contains(count), "\(kind), \(count) of \(whole.count) bytes")
            // A context takes milliseconds, so only some cuts use one: those near the ends of blocks, and some others.
            guard count % 32 == 0 || ([0] + ends).contains(where: { abs($0 - count) <= 30 }) else { continue }
            // A file with only the key is no chain.
            let isKeyAlone = kind == .chainAndKey && count <= ends[0]
            try Self.write(Array(whole[..<count]), to: path)
            let isTaken = try Self.isTaken { configuration in
                switch kind {
                case .chain: configuration.chainPath = path
                case .chainAndKey: (configuration.chainPath, configuration.keyPath) = (path, nil)
                case .key: configuration.keyPath = path
                case .authorities: configuration.authorityPath = path
                }
            }
            #expect(
                isTaken == (fault == nil && !isKeyAlone), "\(kind), \(count) of \(whole.count) bytes")
        }
    }

    @Test(arguments: [
        "subject=/CN=a\n-----BEGIN A-----\nx\n-----END A-----\nissuer",
        "-----BEGIN A----- \r\nx\r\n-----END A-----\r\n",
        "-----\n----\n-----BEGIN A-----\n-----END A-----\n-----\n",
        "-----END B-----\n-----BEGIN A-----\n-----END A-----",
    ])
    func wholeFiles(text: String) {
        #expect(PEMFile(contents: Array(text.utf8)).fault == nil)
    }

    @Test(arguments: [
        "", "\n", "text\n", "-----BEGIN A-----\n", "-----BEGIN A-----\n-----END B-----\n", "-----BEGIN A----\n",
        "-----BEGIN A-----\n-----BEGIN A-----\n-----END A-----\n", "-----BEGIN A-----\n-----END A-----\n-----BE",
        "-----BEGIN -----\n-----END -----\n",
    ])
    func otherFiles(text: String) {
        #expect(PEMFile(contents: Array(text.utf8)).fault != nil)
    }
}
