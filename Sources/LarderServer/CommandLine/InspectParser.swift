/// What `larder inspect` was told.
package struct InspectSettings: Sendable, Equatable {
    package var path: String
    package var isJSON = false
}

func parseInspect(_ arguments: [String]) throws(Ending) -> InspectSettings {
    var path: String?
    var isJSON = false
    var takesOptions = true
    for argument in arguments {
        switch argument {
        case "--" where takesOptions: takesOptions = false
        case "-h" where takesOptions, "--help" where takesOptions: throw .printed(Help.inspect)
        case "--json" where takesOptions: isJSON = true
        default:
            if takesOptions, argument.hasPrefix("-"), argument != "-" {
                throw .usage(
                    "larder inspect does not know \(argument); larder inspect -h says what it takes.")
            }
            guard path == nil else {
                throw .usage("larder inspect takes one file, not \"\(argument)\" as well.")
            }
            path = argument
        }
    }
    guard let path, !path.isEmpty else {
        throw .usage("larder inspect takes the file of a store, as -e or --store named it.")
    }
    return InspectSettings(path: path, isJSON: isJSON)
}
