import Glibc
import LarderStore
import LarderTesting

/// A file that anybody may have changed, to those who only read it: `StoreReader` in both ways, and an inspection.
final class ReaderTarget: Fuzzed {
    private let image = StoreImage()

    func run(_ input: [UInt8]) {
        do {
            try image.file.replace(with: image.edited(input))
        } catch {
            fault("\(error)")
        }
        read(.mapped, step: 1)
        // A bucket that is locked is looked at a thousand times.
        read(.systemCalls, step: 7)
        if let inspection = try? StoreInspection(path: image.file.path) {
            // What it says is made of what it found.
            if inspection.problems.count > inspection.problemCount { fault("more problems than there are") }
        }
    }

    private func read(_ access: StoreReader.Access, step: Int) {
        guard var reader = try? StoreReader(path: image.file.path, access: access) else { return }
        for number in stride(from: 0, to: StoreImage.keyCount, by: step) {
            let found = StoreImage.key(number).withUnsafeBytes { key in
                reader.withValue(key, now: StoreImage.now) { [UInt8]($0.value) }
            }
            guard case .found(let value) = found else { continue }
            if StoreImage.isWrong(value, under: number) { fault("key \(number) has another one's value") }
        }
    }
}

/// The same file, to a server that starts on it: it opens whatever it is given, or refuses it in words, and goes on.
final class FileTarget: Fuzzed {
    private let image = StoreImage()
    private let now = StoreImage.now

    func run(_ input: [UInt8]) {
        do {
            for name in image.file.names { unlink(String(image.file.path.dropLast("store".count)) + name) }
            try image.file.replace(with: image.edited(input))
            var configuration = image.configuration
            // Another size now and then: what is there is carried over.
            if input.count % 8 == 7 { configuration.memoryBytes += 16 << 10 }
            use(try StoreDriver(Store(configuration)), input)
        } catch {
            fault("the store does not start: \(error)")
        }
    }

    private func use(_ driver: StoreDriver, _ input: [UInt8]) {
        check(driver)
        for number in 0..<StoreImage.keyCount {
            guard let found = driver.turn(now, { $0.find(StoreImage.key(number), now: now) }) else {
                continue
            }
            if StoreImage.isWrong(found.value, under: number) {
                fault("key \(number) has another one's value")
            }
        }
        for number in 0..<40 {
            let value = [UInt8].value(number % 9 == 0 ? 2100 : 3 * number, seed: UInt64(number))
            let now = now + Int64(number * 500)
            let isThere = driver.turn(now) { driver in
                if number == input.count % 64 { driver.session.flush() }
                _ = driver.delete(StoreImage.key(number / 2), now: now)
                guard driver.set(StoreImage.key(number), value, now: now) == .stored else { return true }
                return driver.find(StoreImage.key(number), now: now)?.value == value
            }
            if !isThere { fault("a new item was not there") }
        }
        check(driver)
    }

    private func check(_ driver: StoreDriver) {
        if let broken = driver.whole.checkInvariants().first { fault(broken) }
    }
}
