import LarderStore

/// What `larder inspect` prints, and what it leaves with.
package struct InspectionReport {
    package var text: String
    /// Why there is nothing to print.
    package var failure: String?
    package var exitCode: Int32
}

/// Checks a store's file. 0: no problem; 1: problems, or no store; 2: a server is making the file at this moment.
package func inspect(_ settings: InspectSettings) -> InspectionReport {
    do throws(StoreError) {
        let inspection = try StoreInspection(path: settings.path)
        return InspectionReport(
            text: settings.isJSON ? InspectionJSON(inspection).text : InspectionText(inspection).text,
            exitCode: inspection.problemCount == 0 ? 0 : 1)
    } catch .fileRefused(let path, .beingMade) {
        return InspectionReport(
            text: "", failure: "larder inspect: \(path): a server is making this file at this moment; look again",
            exitCode: 2)
    } catch {
        return InspectionReport(text: "", failure: "larder inspect: \(error)", exitCode: 1)
    }
}
