/// The most memory that a file of the system allows.
struct MemoryLimit: Equatable, Sendable {
    var bytes: Int
    /// The file that has the limit.
    var path: String
    /// Whether it is the limit of a cgroup; otherwise it is the memory of the machine.
    var isOfCgroup: Bool
}

/// Finds the memory limits of this process, in the files of the system.
struct MemoryLimits {
    let readFile: (String) -> ConfigurationContents

    /// The lowest limit: of the cgroups, or the machine's memory; nil: no file has one.
    var lowest: MemoryLimit? { Self.lower(ofCgroups, ofMachine) }

    /// The memory of the machine, from /proc/meminfo.
    var ofMachine: MemoryLimit? {
        let path = "/proc/meminfo"
        for line in lines(of: path) where line.hasPrefix("MemTotal:") {
            let words = line.split(separator: " ")
            guard words.count == 3, words[2] == "kB", let kilobytes = Int(words[1]),
                (1...Self.bytesMax >> 10).contains(kilobytes)
            else { return nil }
            return MemoryLimit(bytes: kilobytes << 10, path: path, isOfCgroup: false)
        }
        return nil
    }

    /// The lowest limit of the process's own cgroup and of the cgroups above it, of both versions; nil: there is none.
    /// A limit in `memory.high` counts, too, because above it the kernel slows the process down.
    var ofCgroups: MemoryLimit? {
        var result: MemoryLimit?
        let mounts = lines(of: "/proc/self/mountinfo").compactMap { Mount($0) }
        for line in lines(of: "/proc/self/cgroup") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let version: Int
            if parts[1].isEmpty {
                version = 2
            } else if parts[1].split(separator: ",").contains("memory") {
                version = 1
            } else {
                continue
            }
            let found = mounts.filter { $0.version == version }
            for mount in found.isEmpty ? [Mount.usual(version)] : found {
                for directory in mount.directories(of: parts[2]) {
                    for name in version == 2 ? ["memory.max", "memory.high"] : ["memory.limit_in_bytes"] {
                        result = Self.lower(result, limit(in: "\(directory)/\(name)"))
                    }
                }
            }
        }
        return result
    }

    /// No limit is as high; cgroups of version 1 have a number of nearly 2^63 bytes if they have none.
    private static let bytesMax = 1 << 50

    private func limit(in path: String) -> MemoryLimit? {
        guard let line = lines(of: path).first, let bytes = Int(line), (1..<Self.bytesMax).contains(bytes) else {
            return nil
        }
        return MemoryLimit(bytes: bytes, path: path, isOfCgroup: true)
    }

    private static func lower(_ one: MemoryLimit?, _ other: MemoryLimit?) -> MemoryLimit? {
        guard let one, let other else { return one ?? other }
        return other.bytes < one.bytes ? other : one
    }

    private func lines(of path: String) -> [Substring] {
        guard case .bytes(let bytes, _) = readFile(path) else { return [] }
        return Substring(decoding: bytes, as: UTF8.self).split(separator: "\n")
    }

    /// A place in the file system that shows cgroups.
    private struct Mount {
        var version: Int
        /// The cgroup that the place shows. A container may see its own cgroup only.
        var root: Substring
        var point: Substring

        /// Where cgroups are if /proc/self/mountinfo does not tell.
        static func usual(_ version: Int) -> Mount {
            Mount(version: version, root: "/", point: version == 2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory")
        }

        private init(version: Int, root: Substring, point: Substring) {
            self.version = version
            self.root = root
            self.point = point
        }

        /// Reads a line of /proc/self/mountinfo; nil: it is no mount of cgroups with limits of memory.
        init?(_ line: Substring) {
            let words = line.split(separator: " ")
            guard words.count >= 10, let dash = words.lastIndex(of: "-"), words.count == dash + 4, dash >= 6 else {
                return nil
            }
            switch words[dash + 1] {
            case "cgroup2": version = 2
            case "cgroup" where words[dash + 3].split(separator: ",").contains("memory"): version = 1
            default: return nil
            }
            root = words[3]
            point = words[4]
        }

        /// The directories of a cgroup and of those above it, as far as the place shows them.
        func directories(of cgroup: Substring) -> [Substring] {
            var names = cgroup.split(separator: "/")
            let above = root.split(separator: "/")
            // A cgroup outside of the place is shown as the place itself, or not at all.
            names = names.starts(with: above) && !names.contains("..") ? Array(names.dropFirst(above.count)) : []
            return (0...names.count).map { count in
                names.prefix(count).reduce(point) { $0 + "/" + $1 }
            }
        }
    }
}
