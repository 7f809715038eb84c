import Foundation
import Testing

/// What the documentation's pages say: that their code is what tests run, and that they lead everywhere.
@Suite struct DocumentationTests {
    @Test func thereArePagesWithCode() throws {
        #expect(Article.all.map(\.name).contains("GettingStarted"))
        #expect(try Article.tested().count > 5)
        let names = Article.all.map(\.name)
        #expect(try Article.tested().filter { !names.contains($0) } == [])
    }

    /// A manifest is no code of a test's: Tests/Clients has the package manager read it.
    @Test(arguments: Article.all) func codeIsWhatATestRuns(article: Article) throws {
        let blocks = article.blocks("swift").filter { !$0.contains("import PackageDescription") }
        #expect(try article.snippets() == blocks)
    }

    @Test func theRootPageLeadsToAllOthersAndToAllTypes() throws {
        let root = try #require(Article.all.first { $0.name == "LarderClient" })
        let pages = Article.all.map(\.name).filter { $0 != root.name }
        #expect(root.articleLinks.sorted() == pages)
        let listed = root.symbolLinks.map { String($0[0].prefix { $0 != "(" }) }.filter { $0 != root.name }
        #expect(Set(listed) == Set(try PublicNames.read().topLevel))
    }

    @Test(arguments: Article.all) func linksLeadSomewhere(article: Article) throws {
        let pages = Article.all.map(\.name)
        #expect(article.articleLinks.filter { !pages.contains($0) } == [])
        let names = try PublicNames.read()
        for path in article.symbolLinks where path != ["LarderClient"] {
            let isThere =
                names.topLevel.contains(String(path[0].prefix { $0 != "(" }))
                && path.dropFirst().allSatisfy { names.members.contains(String($0.prefix { $0 != "(" })) }
            #expect(isThere, "\(path)")
        }
    }
}

/// What other modules can name.
private struct PublicNames {
    var topLevel: Set<String> = []
    /// Of all types together: their own names, and those of their members.
    var members: Set<String> = ["init"]

    static func read() throws -> PublicNames {
        let files = FileManager.default.enumerator(at: Article.sources, includingPropertiesForKeys: nil)
        let declaration = /( *)(.*?)\b(?:class|struct|enum|actor|protocol|typealias|func|var|let|case) (\w+)/
        var names = PublicNames()
        while let file = files?.nextObject() as? URL {
            guard file.pathExtension == "swift" else { continue }
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n") {
                guard let match = try declaration.prefixMatch(in: line) else { continue }
                let name = String(match.output.3)
                if match.output.1.isEmpty, match.output.2.hasPrefix("public ") { names.topLevel.insert(name) }
                // Members of a protocol, and cases, do not say that they are public.
                names.members.insert(name)
            }
        }
        return names
    }
}
