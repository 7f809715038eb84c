import Glibc
import Synchronization

/// For each key the lowest number that a value may have which is read from now on: shared between the writer,
/// who raises it when the server has acknowledged something, and the readers.
struct Acknowledged {
    private let numbers: UnsafeMutablePointer<Atomic<UInt64>>

    init(path: String, keys: Int) throws(Complaint) {
        let bytes = keys * MemoryLayout<UInt64>.stride
        let fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard fd >= 0, ftruncate(fd, off_t(bytes)) == 0,
            let memory = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), memory != MAP_FAILED
        else { throw Complaint(text: "cannot share \(path) (errno \(errno))") }
        close(fd)
        // SAFETY: an Atomic is laid out as its value, and the mapping stays.
        numbers = memory.bindMemory(to: Atomic<UInt64>.self, capacity: keys)
    }

    func lowest(_ key: Int) -> UInt64 { numbers[key].load(ordering: .acquiring) }
    func raise(_ key: Int, to number: UInt64) { numbers[key].store(number, ordering: .releasing) }
}
