import Glibc
import LarderServer

/// `larder`: serves, sends a command to a server, looks through a store's file, or runs `larder-log`.
@main
struct Larder {
    nonisolated static func main() {
        guard ProgramStart.openStandardDescriptors() else { exit(ExitCode.osError) }
        // A reader of our output that goes away must not take the server with it.
        signal(SIGPIPE, SIG_IGN)
        DatabaseLogs.register()
        // A daemon leaves the directory, and SIGHUP reads the files again.
        let files = SettingsFiles()
        exit(run(request(files), files))
    }

    private static func request(_ files: SettingsFiles) -> CommandLineRequest {
        do throws(Ending) {
            // SAFETY: no thread of this process changes the environment.
            return parseCommandLine(
                try ProgramStart.arguments(), environment: { name in getenv(name).map { String(cString: $0) } },
                readFile: files.contents)
        } catch {
            return .end(error)
        }
    }

    private static func run(_ request: CommandLineRequest, _ files: SettingsFiles) -> Int32 {
        switch request {
        case .serve(let settings, let warnings):
            StandardError.begin(settings.logFormat)
            for warning in warnings { StandardError.write("larder: \(warning)", .warning) }
            // memcached refuses to be root without -u root. In a container root is the usual user and
            // confined from outside, so there it is worth a word only to one who asks for words.
            if settings.verbosity > 0, settings.userName == nil, geteuid() == 0 {
                StandardError.write("larder: serving as root; -u NAME makes it another user.", .warning)
            }
            return serve(settings) { self.request(files) }
        case .ping(let settings):
            return ping(settings)
        case .client(let settings):
            return ask(settings)
        case .inspect(let settings):
            let report = inspect(settings)
            write(report.text, to: STDOUT_FILENO)
            if let failure = report.failure { write(failure + "\n", to: STDERR_FILENO) }
            return report.exitCode
        case .log(let words):
            return becomeLogTool(words)
        case .program(let words):
            return become(words)
        case .end(let ending):
            write(ending.text, to: ending.exitCode == 0 ? STDOUT_FILENO : STDERR_FILENO)
            return ending.exitCode
        }
    }
}

/// Writes all of a text. What cannot be written has nobody to be told to.
func write(_ text: String, to descriptor: Int32) {
    var text = text
    text.withUTF8 { bytes in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
            let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }
}
