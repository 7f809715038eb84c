import Glibc
package import LarderStore

/// Why the server cannot start. Each has the sentence for standard error and the process's exit code.
package enum StartupError: Error, Equatable {
    /// No TCP listener at this port; the system's error number.
    case tcpListener(port: Int, error: Int32)
    /// The server cannot listen on the address of `--admin`, and why. nil: the thread of `--stats` cannot begin.
    case adminListener(String?, reason: String)
    /// The server cannot listen on an address of a cache's `listen=`, `--uwsgi` or `--stats`, and why. The option is
    /// shown as it is.
    case placeListener(option: String, reason: String)
    /// The store of a named cache cannot be opened.
    case cacheStore(cache: String, StoreError)
    /// The file of a named cache has items beyond the cache's limits.
    case cacheShrinks(cache: String, path: String, items: Int)
    /// The log of a cache cannot be followed, and why.
    case replica(cache: String, reason: String)
    /// No UDP socket at this port.
    case udpSocket(port: Int, error: Int32)
    /// Not on all of the places that `-l` names, as given.
    case interfaces(String, error: Int32)
    /// `-L`, and the system has no large pages; why.
    case hugePages(String)
    /// The name given to `-l` has no address; the resolver's reason.
    case unresolvedHost(port: Int, host: String, reason: String)
    case unixListener(path: String, error: Int32)
    /// `--uwsgi` or `--stats` names an address that other machines reach.
    case uwsgiNotLoopback(option: String, address: String)
    /// An address of a cache's `nodes=` or `udp=` cannot be used, and why.
    case cacheSync(cache: String, key: String, address: String, reason: String)
    /// A cache's `udp=` has an address that other machines reach, and there is no `nodes=` to restrict the senders.
    case cacheSyncIsOpen(cache: String, address: String)
    /// Not even one client fits into the limit on open files.
    case openFileLimit(allowed: Int, needed: Int)
    case coreLimit
    case unknownUser(String)
    case supplementaryGroups(error: Int32)
    case identity(user: String, error: Int32)
    case daemon(error: Int32)
    /// The current directory, which a daemon's relative paths begin at, is not known.
    case startDirectory(error: Int32)
    case thread(error: Int32)
    case userFile(UserFileError)
    /// The sockets of the service manager cannot be used; a sentence.
    case inheritedSocket(String)
    /// There is no take-over; a sentence.
    case takeover(String)
    /// Certificates or ciphers that cannot be; why, in memcached's words.
    case tls(String)
    /// The SASL library cannot be used, and why.
    case sasl(String)
    /// A worker could not get what it needs; why.
    case worker(String)

    /// One sentence, memcached's where it has one.
    package var message: String {
        switch self {
        case .tcpListener(let port, let error):
            "failed to listen on TCP port \(port): \(describe(error: error))"
        case .adminListener(let address?, let reason):
            "failed to listen on the address of --admin, \(address): \(reason)"
        case .adminListener(nil, let reason):
            "--stats: failed to listen: \(reason)"
        case .placeListener(let option, let reason):
            "\(option): failed to listen: \(reason)"
        case .cacheStore(let cache, let error):
            "larder: cache \"\(cache)\": \(error)"
        case .cacheShrinks(let cache, let path, let items):
            "larder: cache \"\(cache)\": \(items) items in \(path) are beyond its limits. Give items, max_item_size, "
                + "keysize, blocksize and blocks their former values, or drop these items with shrink=1."
        case .replica(let cache, let reason):
            "larder: cache \"\(cache)\": \(reason)"
        case .udpSocket(let port, let error):
            "failed to listen on UDP port \(port): \(describe(error: error))"
        case .interfaces(let list, let error):
            "failed to listen on one of interface(s) \(list): \(describe(error: error))"
        case .hugePages(let reason):
            "\(reason)\nWill use default page size.\nCannot enable large pages on this system\n"
                + "(There is no support as of this version)"
        case .unresolvedHost(let port, let host, let reason):
            "failed to listen on TCP port \(port): cannot resolve \"\(host)\": \(reason)"
        case .unixListener(let path, let error):
            "failed to listen on UNIX socket: \(path): \(describe(error: error))"
        case .uwsgiNotLoopback(let option, let address):
            "\(option) \(address): other machines reach this address, and \(option) has no login. Give a "
                + "loopback address or a socket file, or --uwsgi-open if the network is trusted."
        case .cacheSync(let cache, let key, let address, let reason):
            "cache \"\(cache)\": \(key) \(address) cannot be used: \(reason)"
        case .cacheSyncIsOpen(let cache, let address):
            "cache \"\(cache)\": other machines reach the address of udp, \(address), and could change every item. Name "
                + "those that may with nodes, or give --uwsgi-open if the network is trusted."
        case .openFileLimit(let allowed, let needed):
            "failed to set rlimit for open files. "
                + "Try starting as root or requesting smaller maxconns value. "
                + "(\(needed) open files are needed, and the limit is \(allowed).)"
        case .coreLimit:
            "failed to ensure corefile creation"
        case .unknownUser(let name):
            "can't find the user \(name) to switch to"
        case .supplementaryGroups(let error):
            "failed to drop supplementary groups: \(describe(error: error))"
        case .identity(let user, let error):
            "failed to assume identity of user \(user): \(describe(error: error))"
        case .daemon(let error):
            "failed to daemon() in order to daemonize: \(describe(error: error))"
        case .startDirectory(let error):
            "failed to get the current directory, which relative paths begin at: \(describe(error: error))"
        case .thread(let error):
            "failed to start a thread: \(describe(error: error))"
        case .userFile(let error):
            error.message
        case .tls(let reason), .sasl(let reason), .inheritedSocket(let reason), .takeover(let reason):
            reason
        case .worker(let reason):
            "failed to start a worker: \(reason)"
        }
    }

    /// Why a listener cannot be opened, without the place, which is named beside it; nil for other errors.
    var listeningReason: String? {
        switch self {
        case .tcpListener(_, let error), .interfaces(_, let error): describe(error: error)
        case .unixListener(_, let error): describe(error: error)
        case .unresolvedHost(_, let host, let reason): "cannot resolve \"\(host)\": \(reason)"
        default: nil
        }
    }

    /// The numbers of <sysexits.h> that memcached uses.
    package var exitCode: Int32 {
        switch self {
        case .unknownUser: 67
        case .daemon, .userFile, .hugePages, .sasl: 1
        case .tls, .inheritedSocket, .uwsgiNotLoopback, .cacheSyncIsOpen: ExitCode.usage
        case .cacheStore, .cacheShrinks: ExitCode.badValue
        default: 71
        }
    }
}
