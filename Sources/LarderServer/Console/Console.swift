import LarderEventLoop

/// The console: a web page, its script and style, and the documents that the script asks for.
enum Console {
    /// Nil if the path does not belong to the console.
    static func answer(_ request: HTTPRequest, _ state: ServerState, reasonNotReady: String?) -> HTTPAnswer? {
        switch request.path {
        case "/": file("text/html", consolePage)
        case "/console.css": file("text/css", consoleStyle)
        case "/console.js": file("text/javascript", consoleScript)
        case "/charts.js": file("text/javascript", consoleCharts)
        case "/format.js": file("text/javascript", consoleFormat)
        case "/icon.svg": file("image/svg+xml", consoleIcon)
        case "/status.json": withFields(request) { status($0, state, reasonNotReady: reasonNotReady) }
        case "/key.json": withFields(request) { KeyJSON.answer($0, state) }
        case "/keys.json": withFields(request) { KeysJSON.answer($0, state) }
        default: nil
        }
    }

    /// The cache that `cache=` names. Without `cache=` it is the cache of the main port.
    static func cache(_ fields: QueryFields, _ state: ServerState) -> ServedCache? {
        guard let name = fields["cache"] else { return state.caches.first }
        return state.caches.first { $0.name.utf8.elementsEqual(name) }
    }

    static func json(_ status: Int32, _ text: String) -> HTTPAnswer {
        HTTPAnswer(status: status, contentType: "application/json", body: Array(text.utf8))
    }

    private static func status(_ fields: QueryFields, _ state: ServerState, reasonNotReady: String?) -> HTTPAnswer {
        guard let cache = cache(fields, state) else { return json(404, KeyJSON.error("there is no such cache")) }
        return json(200, StatusJSON(state: state, cache: cache, reasonNotReady: reasonNotReady).text)
    }

    private static func withFields(_ request: HTTPRequest, _ body: (QueryFields) -> HTTPAnswer) -> HTTPAnswer {
        guard let fields = QueryFields(request.query) else {
            return json(400, KeyJSON.error("the query is not percent-encoded"))
        }
        return body(fields)
    }

    private static func file(_ contentType: String, _ text: String) -> HTTPAnswer {
        HTTPAnswer(contentType: "\(contentType); charset=utf-8", body: Array(text.utf8))
    }
}
