//! The same load, heavier and heavier: where the latency turns up.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use plotters::prelude::{
    BLUE, ChartBuilder, Circle, IntoDrawingArea, IntoLogRange, LineSeries, RED, SVGBackend, WHITE,
};
use serde::Serialize;

use crate::Common;
use crate::client::BenchError;
use crate::direct::{Direct, Pattern};
use crate::stats::{Outcome, Times};

/// Latency against load: many conversations of two, with more and more messages on their way.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// Numbers of conversations to try, one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 128, 256])]
    pairs: Vec<u16>,
    /// Draw it into this file (SVG)
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Point {
    pairs: u16,
    messages_per_second: f64,
    #[serde(flatten)]
    delivered: Times,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Swept {
    points: Vec<Point>,
    is_flawless: bool,
}

impl Swept {
    /// p50 and p99 against messages per second, the times on a logarithmic scale.
    fn plot(&self, file: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
        let highest = |value: fn(&Point) -> f64| self.points.iter().map(value).fold(1.0, f64::max);
        let (load, time) = (highest(|p| p.messages_per_second), highest(|p| p.delivered.p99_ms));
        let area = SVGBackend::new(file, (800, 500)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..load * 1.05, (0.1..time * 1.5).log_scale())?;
        chart.configure_mesh().x_desc("messages per second").y_desc("delivered after, ms").draw()?;
        for (name, colour, value) in
            [("p50", BLUE, (|times| times.p50_ms) as fn(&Times) -> f64), ("p99", RED, |times| times.p99_ms)]
        {
            let points: Vec<_> =
                self.points.iter().map(|p| (p.messages_per_second, value(&p.delivered).max(0.1))).collect();
            let line = chart.draw_series(LineSeries::new(points.iter().copied(), colour))?;
            line.label(name).legend(move |at| Circle::new(at, 4, colour));
            chart.draw_series(points.iter().map(|point| Circle::new(*point, 3, colour)))?;
        }
        chart.configure_series_labels().border_style(plotters::prelude::BLACK).draw()?;
        Ok(area.present()?)
    }
}

impl Outcome for Swept {
    fn table(&self) -> String {
        let mut table =
            format!("{:>6}{:>12}{:>10}{:>10}{:>10}", "pairs", "messages/s", "p50 ms", "p99 ms", "max ms");
        for Point { pairs, messages_per_second, delivered } in &self.points {
            let Times { p50_ms, p99_ms, max_ms, .. } = delivered;
            // Writing to a String does not fail.
            write!(
                table,
                "\n{pairs:>6}{messages_per_second:>12.0}{p50_ms:>10.2}{p99_ms:>10.2}{max_ms:>10.2}"
            )
            .ok();
        }
        table
    }

    fn is_flawless(&self) -> bool {
        self.is_flawless
    }
}

impl Sweep {
    /// Runs it.
    pub(crate) async fn run(&self, common: &Common) -> Result<Swept, BenchError> {
        let mut swept = Swept { points: Vec::new(), is_flawless: true };
        for &pairs in &self.pairs {
            let direct = Direct { pairs, pattern: Pattern::PingPong, rate: None, cut_every: None };
            let report = direct.run(common).await?;
            let (messages_per_second, delivered) = report.point();
            swept.is_flawless &= report.is_flawless();
            swept.points.push(Point { pairs, messages_per_second, delivered });
        }
        if let Some(file) = &self.plot {
            swept.plot(file).map_err(|error| BenchError::Refused(format!("{}: {error}", file.display())))?;
        }
        Ok(swept)
    }
}
