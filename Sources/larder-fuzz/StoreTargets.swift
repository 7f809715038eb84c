import Glibc
import LarderStore
import LarderTesting

/// Programs that only read a damaged file: `StoreReader` with both kinds of access, and an inspection.
final class ReaderTarget: Fuzzed {
    private let image = StoreImage()

    func run(_ input: [UInt8]) {
        do {
            try image.file.replace(with: image.edited(input))
        } catch {
            fault("\(error)")
        }
        read(.mapped, step: 1)
        // Fewer keys: for each key in a locked bucket the reader tries a thousand times.
        read(.systemCalls, step: 7)
        if let inspection = try? StoreInspection(path: image.file.path) {
            // The problems are counted separately from their texts.
            if inspection.problems.count > inspection.problemCount { fault("more texts than problems") }
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

/// A server that starts on the damaged file: it must open the file or refuse it with a message, and must then work.
final class FileTarget: Fuzzed {
    private let image = StoreImage()
    private let now = StoreImage.now

    func run(_ input: [UInt8]) {
        do {
            for name in image.file.names { unlink(String(image.file.path.dropLast("store".count)) + name) }
            try image.file.replace(with: image.edited(input))
            var configuration = image.configuration
            // One in eight inputs changes the size, so that the items are carried over to a new file.
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
