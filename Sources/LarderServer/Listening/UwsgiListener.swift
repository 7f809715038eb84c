/// `--uwsgi`: that protocol knows no login and no TLS, so its listeners are on loopback or socket files.
extension Listener {
    static func openUwsgi(_ settings: Settings, _ opened: inout [Listener]) throws(StartupError) {
        for place in settings.uwsgiPlaces {
            if case .tcp(let host?, let port) = place, !settings.uwsgiIsOpen {
                for address in try resolve(host, port: port) where !address.isLoopback {
                    throw .uwsgiNotLoopback(address: host)
                }
            }
            var listeners = try open(place, hosts: loopback, settings, option: "--uwsgi \(place)")
            for index in listeners.indices {
                listeners[index].bindingProtocol = .uwsgi
                listeners[index].encryption = .off
            }
            opened += listeners
        }
    }
}
