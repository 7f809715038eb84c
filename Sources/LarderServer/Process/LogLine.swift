import CLarderSystem
import Glibc

/// `--log-format`
package enum LogFormat: String, Sendable, CaseIterable {
    /// The message alone, as memcached's lines are.
    case text
    /// A JSON object for each message.
    case json
}

/// The level of a message.
package enum LogLevel: String, Sendable {
    /// Lines of `-v` and `-vv` about clients.
    case debug
    case info
    case warning
    case error
}

/// A message of the log as it is written.
enum LogLine {
    /// - Parameter time: since 1970.
    static func text(_ message: String, _ level: LogLevel, _ format: LogFormat, at time: timespec) -> String {
        switch format {
        case .text: message
        case .json:
            "{\"time\":\"\(utc(time))\",\"level\":\"\(level.rawValue)\",\"message\":\"\(escaped(message))\"}"
        }
    }

    /// `2026-11-30T08:15:00.123Z`
    static func utc(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var date = tm()
        // SAFETY: the call reads one local variable and fills the other.
        gmtime_r(&seconds, &date)
        let day = "\(digits(date.tm_year + 1900, 4))-\(digits(date.tm_mon + 1, 2))-\(digits(date.tm_mday, 2))"
        let clock = "\(digits(date.tm_hour, 2)):\(digits(date.tm_min, 2)):\(digits(date.tm_sec, 2))"
        return "\(day)T\(clock).\(digits(Int32(clamping: time.tv_nsec / 1_000_000), 3))Z"
    }

    private static func digits(_ number: Int32, _ count: Int) -> String {
        let text = String(number)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }

    /// The message in a JSON string. The format has the level, so `larder: ` at the front is left out.
    private static func escaped(_ message: String) -> String {
        var text = ""
        for scalar in (message.hasPrefix("larder: ") ? message.dropFirst(8) : message[...]).unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                text += "\\u00" + (scalar.value < 0x10 ? "0" : "") + String(scalar.value, radix: 16)
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
