import Glibc

/// Latency by percentile as an SVG: a curve for each run, both axes logarithmic, as HdrHistogram's plotter has them.
func latencyPlot(_ options: Options, _ results: [RunResult]) -> String {
    let curves = results.map { $0.totals.latency.percentilePoints }.filter { !$0.isEmpty }
    let plot = LatencyPlot(curves: curves)
    let load =
        "\(options.dialect.rawValue), \(options.connectionsInAll) connections, pipeline \(options.pipeline)"
    return plot.drawing(title: "Latency by percentile: \(options.place), \(load)")
}

struct LatencyPlot {
    private static let colours = [
        "#0b6bcb", "#c2410c", "#15803d", "#7e22ce", "#b91c1c", "#0f766e", "#a16207",
    ]
    private static let (width, height) = (900.0, 520.0)
    private static let (left, right, top, bottom) = (80.0, 860.0, 50.0, 450.0)

    let curves: [[PercentilePoint]]
    /// Nanoseconds, as logarithms.
    private let lowest: Double
    private let highest: Double
    /// How many nines the slowest answer stands for.
    private let nines: Int

    init(curves: [[PercentilePoint]]) {
        self.curves = curves
        let latencies = curves.flatMap { $0 }.map { Double(max(1, $0.latency)) }
        // Down and up to a figure that an axis can begin and end with.
        let ticks = Self.latencyTicks
        let (fastest, slowest) = (latencies.min() ?? 1e5, latencies.max() ?? 1e6)
        lowest = log10(ticks.last { $0 <= fastest } ?? 1)
        highest = log10(ticks.first { $0 > slowest } ?? slowest * 1.1)
        let counts = curves.compactMap { $0.last?.count }
        nines = max(1, min(7, Int(log10(Double(counts.max() ?? 10)).rounded(.up))))
    }

    /// 1, 2 and 5 of each power of ten, from a nanosecond to an hour.
    private static let latencyTicks = (0...12).flatMap { exponent in
        [1.0, 2, 5].map { $0 * pow(10, Double(exponent)) }
    }

    private func x(_ share: Double) -> Double {
        let place = -log10(max(1 - share, pow(10, -Double(nines))))
        return Self.left + (Self.right - Self.left) * place / Double(nines)
    }

    private func y(_ nanoseconds: Double) -> Double {
        let place = (log10(max(1, nanoseconds)) - lowest) / (highest - lowest)
        return Self.bottom - (Self.bottom - Self.top) * place
    }

    func drawing(title: String) -> String {
        var parts = [
            """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(shortDecimal(Self.width))" \
            height="\(shortDecimal(Self.height))" viewBox="0 0 \(shortDecimal(Self.width)) \
            \(shortDecimal(Self.height))" font-family="sans-serif" font-size="13">
            """,
            #"<rect width="100%" height="100%" fill="white"/>"#,
            label(title, x: Self.left, y: 28, anchor: "start", size: 15),
        ]
        parts += latencyAxis() + percentileAxis()
        for (number, curve) in curves.enumerated() { parts += drawn(curve, number: number) }
        return parts.joined(separator: "\n") + "\n</svg>\n"
    }

    private func latencyAxis() -> [String] {
        var parts: [String] = []
        for tick in Self.latencyTicks where log10(tick) >= lowest - 0.001 && log10(tick) <= highest + 0.001 {
            parts.append(line(Self.left, y(tick), Self.right, y(tick)))
            parts.append(label(latencyText(tick), x: Self.left - 8, y: y(tick) + 4, anchor: "end"))
        }
        return parts
    }

    private func percentileAxis() -> [String] {
        var parts = [
            label("percentile", x: (Self.left + Self.right) / 2, y: Self.bottom + 45, anchor: "middle")
        ]
        for count in 0...nines {
            let share = 1 - pow(10, -Double(count))
            parts.append(line(x(share), Self.top, x(share), Self.bottom))
            let percent = shortDecimal(share * 100, places: max(0, count - 2))
            parts.append(label("\(percent) %", x: x(share), y: Self.bottom + 20, anchor: "middle"))
        }
        return parts
    }

    private func drawn(_ curve: [PercentilePoint], number: Int) -> [String] {
        let colour = Self.colours[number % Self.colours.count]
        let points = curve.map {
            "\(shortDecimal(x($0.share), places: 1)),\(shortDecimal(y(Double($0.latency)), places: 1))"
        }
        let drawn =
            #"<polyline fill="none" stroke="\#(colour)" stroke-width="2" points="\#(points.joined(separator: " "))"/>"#
        guard curves.count > 1, number < 20 else { return [drawn] }
        let place = Self.top + 18 + 16 * Double(number)
        return [
            drawn, label("run \(number + 1)", x: Self.left + 12, y: place, anchor: "start", colour: colour),
        ]
    }

    private func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double) -> String {
        let places = [x1, y1, x2, y2].map { shortDecimal($0, places: 1) }
        return
            #"<line x1="\#(places[0])" y1="\#(places[1])" x2="\#(places[2])" y2="\#(places[3])" stroke="silver"/>"#
    }

    private func label(
        _ text: String, x: Double, y: Double, anchor: String, size: Int = 13, colour: String = "#18181b"
    ) -> String {
        let place = #"x="\#(shortDecimal(x, places: 1))" y="\#(shortDecimal(y, places: 1))""#
        return
            #"<text \#(place) text-anchor="\#(anchor)" font-size="\#(size)" fill="\#(colour)">\#(escaped(text))</text>"#
    }
}

/// As in `20 us` and `1.5 ms`.
func latencyText(_ nanoseconds: Double) -> String {
    switch nanoseconds {
    case ..<1e3: shortDecimal(nanoseconds, places: 0) + " ns"
    case ..<1e6: shortDecimal(nanoseconds / 1e3, places: 1) + " us"
    case ..<1e9: shortDecimal(nanoseconds / 1e6, places: 1) + " ms"
    default: shortDecimal(nanoseconds / 1e9, places: 1) + " s"
    }
}

/// Text for XML; what XML cannot hold is left out.
func escaped(_ text: String) -> String {
    var result = ""
    for scalar in text.unicodeScalars where scalar.value >= 0x20 {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result
}
