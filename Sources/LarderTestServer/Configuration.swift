import LarderClient
import LarderServer

extension LarderTestServer {
    /// What kind of server it is. What is not said here is as in a Larder that is started without flags.
    public struct Configuration: Sendable, Hashable {
        /// By which way clients come.
        public enum Transport: Sendable, Hashable {
            /// A port of 127.0.0.1 that nobody else has.
            case tcp
            /// A socket in a directory of its own, which goes when nobody holds the server any more.
            case unixSocket
        }

        /// By which way clients come.
        public var transport = Transport.tcp
        /// Whether time passes by itself too. Otherwise it stands still, so that a slow machine changes no result.
        public var isClockRunning = false
        /// What all items may take together, in bytes; at least a megabyte. Memory is taken as it fills.
        public var memoryBytes = 64 << 20
        /// The largest item, header and key included, in bytes.
        public var itemBytesMax = 1 << 20
        /// Whether items make way for others when the memory is full; otherwise they are refused.
        public var evicts = true
        /// How many clients may be connected at the same time; one more is told so and closed.
        public var connectionsMax = 1024

        /// A server with a port of its own and 64 MB, whose clock stands still.
        public init() {}

        func settings(at address: ServerAddress) -> Settings {
            var settings = Settings()
            switch address {
            case .host(let host, let port):
                settings.tcpPort = port
                settings.listenAddresses = [Settings.ListenAddress(host: host)]
            case .unixSocket(let path): settings.unixSocketPath = path
            }
            settings.threadCount = 1
            settings.memoryLimitBytes = max(1 << 20, memoryBytes)
            settings.maxItemSizeBytes = max(1024, min(itemBytesMax, 1 << 30))
            settings.evictions = evicts
            settings.connectionLimit = max(1, connectionsMax)
            return settings
        }
    }
}
