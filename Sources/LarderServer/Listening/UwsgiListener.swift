import Glibc

/// `--uwsgi` and `--stats`: they have no login and no TLS, so their listeners are on loopback or socket files.
extension Listener {
    static func openUwsgi(_ settings: Settings, _ opened: inout [Listener]) throws(StartupError) {
        for place in settings.uwsgiPlaces {
            var listeners = try openUnprotected(place, "--uwsgi", settings)
            for index in listeners.indices { listeners[index].bindingProtocol = .uwsgi }
            opened += listeners
        }
    }

    /// The listeners of `--stats`.
    static func openStatistics(_ settings: Settings) throws(StartupError) -> [Listener] {
        var opened: [Listener] = []
        do throws(StartupError) {
            for place in settings.statisticsPlaces { opened += try openUnprotected(place, "--stats", settings) }
        } catch {
            for listener in opened { close(listener.fd) }
            throw error
        }
        return opened
    }

    private static func openUnprotected(
        _ place: CacheSettings.Place, _ option: String, _ settings: Settings
    ) throws(StartupError) -> [Listener] {
        if case .tcp(let host?, let port) = place, !settings.uwsgiIsOpen {
            for address in try resolve(host, port: port) where !address.isLoopback {
                throw .uwsgiNotLoopback(option: option, address: host)
            }
        }
        var listeners = try open(place, hosts: loopback, settings, option: "\(option) \(place)")
        for index in listeners.indices { listeners[index].encryption = .off }
        return listeners
    }
}
